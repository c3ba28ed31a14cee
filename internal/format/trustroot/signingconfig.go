// SPDX-License-Identifier: Apache-2.0

package trustroot

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	pb "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
)

// Service is one endpoint that a signer may use.
type Service struct {
	// URL is the base URL of a CA, an OIDC issuer or a transparency log, and
	// the full URL that requests are posted to for a timestamp authority.
	URL        string
	APIVersion uint32 // major version of its API
	Valid      Window // when to use it
	Operator   string // who runs it: at most one service of each operator is selected
}

// Mode says how many of the matching services a Selector takes. The zero Mode
// is unset, and selects nothing.
type Mode uint8

// The modes.
const (
	Any   Mode = iota + 1 // one
	All                   // all
	Exact                 // as many as Count says
)

// String is the mode's name in a signing config.
func (m Mode) String() string {
	switch m {
	case Any:
		return "ANY"
	case All:
		return "ALL"
	case Exact:
		return "EXACT"
	}
	return "SERVICE_SELECTOR_UNDEFINED"
}

// Selector says how many services to use at once.
type Selector struct {
	Mode  Mode
	Count uint32 // with Exact: how many, at least 1
}

// SigningConfig lists the services of a Sigstore instance.
type SigningConfig struct {
	CAs         []Service // one is used: select with Any
	OIDCs       []Service // one is used: select with Any
	Logs        []Service
	TSAs        []Service
	LogSelector Selector
	TSASelector Selector
}

// ParseSigningConfig reads a signing_config.v0.2.json. Other media types,
// unknown fields and services without an absolute http or https URL are refused.
func ParseSigningConfig(data []byte) (*SigningConfig, error) {
	var msg pb.SigningConfig
	if err := unmarshal(data, &msg); err != nil {
		return nil, fmt.Errorf("signing config: %w", err)
	}
	c, err := signingConfigFromProto(&msg)
	if err != nil {
		return nil, fmt.Errorf("signing config: %w", err)
	}
	return c, nil
}

// Marshal returns the signing_config.v0.2.json, indented, and always the same
// for the same value. It refuses what ParseSigningConfig would refuse.
func (c *SigningConfig) Marshal() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("signing config: %w", err)
	}
	data, err := marshal(&pb.SigningConfig{
		MediaType:       SigningConfigMediaType,
		CaUrls:          servicesToProto(c.CAs),
		OidcUrls:        servicesToProto(c.OIDCs),
		RekorTlogUrls:   servicesToProto(c.Logs),
		RekorTlogConfig: selectorToProto(c.LogSelector),
		TsaUrls:         servicesToProto(c.TSAs),
		TsaConfig:       selectorToProto(c.TSASelector),
	})
	if err != nil {
		return nil, fmt.Errorf("signing config: %w", err)
	}
	return data, nil
}

func signingConfigFromProto(msg *pb.SigningConfig) (*SigningConfig, error) {
	if msg.GetMediaType() != SigningConfigMediaType {
		return nil, fmt.Errorf("mediaType is %q; expected %q", msg.GetMediaType(), SigningConfigMediaType)
	}
	c := &SigningConfig{
		CAs:   servicesFromProto(msg.GetCaUrls()),
		OIDCs: servicesFromProto(msg.GetOidcUrls()),
		Logs:  servicesFromProto(msg.GetRekorTlogUrls()),
		TSAs:  servicesFromProto(msg.GetTsaUrls()),
	}
	var err error
	if c.LogSelector, err = selectorFromProto(msg.GetRekorTlogConfig()); err != nil {
		return nil, fmt.Errorf("rekorTlogConfig: %w", err)
	}
	if c.TSASelector, err = selectorFromProto(msg.GetTsaConfig()); err != nil {
		return nil, fmt.Errorf("tsaConfig: %w", err)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// check refuses services that nobody could use and selectors without a meaning.
func (c *SigningConfig) check() error {
	for _, list := range []struct {
		name     string
		services []Service
	}{{"caUrls", c.CAs}, {"oidcUrls", c.OIDCs}, {"rekorTlogUrls", c.Logs}, {"tsaUrls", c.TSAs}} {
		if len(list.services) > MaxInstances {
			return fmt.Errorf("%s has %d entries, at most %d are allowed", list.name, len(list.services), MaxInstances)
		}
		for i, s := range list.services {
			if err := s.check(); err != nil {
				return fmt.Errorf("%s[%d]: %w", list.name, i, err)
			}
		}
	}
	if err := c.LogSelector.check(); err != nil {
		return fmt.Errorf("rekorTlogConfig: %w", err)
	}
	if err := c.TSASelector.check(); err != nil {
		return fmt.Errorf("tsaConfig: %w", err)
	}
	return nil
}

func (s Service) check() error {
	u, err := url.Parse(s.URL)
	if err != nil {
		return fmt.Errorf("url: %w", err)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("url is %q; expected an absolute http or https URL", s.URL)
	}
	return s.Valid.check()
}

func (s Selector) check() error {
	if s.Mode == Exact && s.Count == 0 {
		return errors.New("selector EXACT needs a count of at least 1")
	}
	return nil
}

// Select returns the services to use at the given time: those within their
// validity and of the highest of the supported versions that any of them has,
// newest start first, at most one per operator; of these one for Any, all for
// All, Count for Exact. It is an error if there are not enough, or if the
// selector is unset. Of equally new services the one listed first wins, so the
// answer depends on the arguments alone.
func Select(services []Service, versions []uint32, sel Selector, at time.Time) ([]Service, error) {
	if len(versions) == 0 {
		return nil, errors.New("selecting services: no supported API version given")
	}
	if err := sel.check(); err != nil {
		return nil, fmt.Errorf("selecting services: %w", err)
	}
	byStart := slices.Clone(services)
	slices.SortStableFunc(byStart, func(a, b Service) int { return b.Valid.Start.Compare(a.Valid.Start) })
	descending := slices.Clone(versions)
	slices.SortFunc(descending, func(a, b uint32) int { return cmp.Compare(b, a) })

	var found []Service
	for _, version := range descending {
		operators := map[string]bool{}
		for _, s := range byStart {
			if s.APIVersion == version && s.Valid.Contains(at) && !operators[s.Operator] {
				operators[s.Operator] = true
				found = append(found, s)
			}
		}
		if len(found) > 0 { // never a mix of API versions
			break
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("selecting services: none of %d is valid at %s with an API version of %v", len(services), at.UTC().Format(time.RFC3339), versions)
	}
	switch sel.Mode {
	case Any:
		return found[:1], nil
	case All:
		return found, nil
	case Exact:
		if uint64(sel.Count) > uint64(len(found)) {
			return nil, fmt.Errorf("selecting services: the signing config wants EXACT %d, but only %d operators have one that is valid at %s with API version %d",
				sel.Count, len(found), at.UTC().Format(time.RFC3339), found[0].APIVersion)
		}
		return found[:sel.Count], nil
	}
	return nil, errors.New("selecting services: the signing config sets no selector; expected ANY, ALL or EXACT")
}

func servicesFromProto(msgs []*pb.Service) []Service {
	var out []Service
	for _, m := range msgs {
		out = append(out, Service{m.GetUrl(), m.GetMajorApiVersion(), windowFromProto(m.GetValidFor()), m.GetOperator()})
	}
	return out
}

func servicesToProto(services []Service) []*pb.Service {
	var out []*pb.Service
	for _, s := range services {
		out = append(out, &pb.Service{Url: s.URL, MajorApiVersion: s.APIVersion, ValidFor: windowToProto(s.Valid), Operator: s.Operator})
	}
	return out
}

func selectorFromProto(msg *pb.ServiceConfiguration) (Selector, error) {
	s := Selector{Count: msg.GetCount()}
	switch msg.GetSelector() {
	case pb.ServiceSelector_SERVICE_SELECTOR_UNDEFINED:
	case pb.ServiceSelector_ANY:
		s.Mode = Any
	case pb.ServiceSelector_ALL:
		s.Mode = All
	case pb.ServiceSelector_EXACT:
		s.Mode = Exact
	default:
		return Selector{}, fmt.Errorf("selector %d is unknown; expected ANY, ALL or EXACT", msg.GetSelector())
	}
	return s, nil
}

// selectorToProto returns nil for the zero selector.
func selectorToProto(s Selector) *pb.ServiceConfiguration {
	msg := &pb.ServiceConfiguration{Count: s.Count}
	switch s.Mode {
	case Any:
		msg.Selector = pb.ServiceSelector_ANY
	case All:
		msg.Selector = pb.ServiceSelector_ALL
	case Exact:
		msg.Selector = pb.ServiceSelector_EXACT
	default:
		if s.Count == 0 {
			return nil
		}
	}
	return msg
}
