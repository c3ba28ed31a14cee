// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"hallmark/internal/format/strictjson"
)

// InstancePath is where a Hallmark instance publishes its [Instance] document.
const InstancePath = "/.well-known/hallmark.json"

const (
	maxInstance    = 64 << 10 // bytes of the document
	maxIssuers     = 256
	maxShards      = 256
	instanceFormat = 1 // the version this code reads
)

// Instance is what a Hallmark instance says about itself: all a client needs
// to know beyond the trusted root and the signing config. Readers ignore
// fields that they do not know.
type Instance struct {
	Version     int              `json:"version"` // 1
	Name        string           `json:"name"`
	Development bool             `json:"development"` // of no worth beyond tests, for ever
	ExternalURL string           `json:"externalURL"`
	TUF         InstanceTUF      `json:"tuf"`
	Audience    string           `json:"audience"` // what identity tokens are to be made for
	Issuers     []InstanceIssuer `json:"issuers"`
	Log         InstanceLog      `json:"log"`
}

// InstanceTUF is where the instance publishes its trust root.
type InstanceTUF struct {
	Mirror     string `json:"mirror"`
	RootSHA256 string `json:"rootSHA256"` // of the latest root.json, hexadecimal
}

// InstanceIssuer is an OIDC issuer whose tokens the instance takes.
type InstanceIssuer struct {
	URL         string `json:"url"`
	ClientID    string `json:"clientID"`
	Audience    string `json:"audience,omitempty"` // "" is the instance's
	Type        string `json:"type"`
	Development bool   `json:"development,omitempty"`
}

// InstanceLog is the instance's current transparency log.
type InstanceLog struct {
	Origin  string `json:"origin"`
	BaseURL string `json:"baseURL"`
	Search  string `json:"search,omitempty"` // base URL of the search API; "" has none

	// Shards is every shard there is, and the one to come if it is announced,
	// the latest first; nil means the one above alone.
	Shards []InstanceShard `json:"shards,omitempty"`
}

// InstanceShard is one of the logs that follow each other.
type InstanceShard struct {
	Origin string `json:"origin"`
	Search string `json:"search"` // base URL of its search API
}

// ParseInstance reads an instance document of at most 64 KiB. Text in it has no
// control characters, and URLs are absolute http or https ones without user
// names, so it can be printed and followed.
func ParseInstance(data []byte) (*Instance, error) {
	if len(data) > maxInstance {
		return nil, fmt.Errorf("hallmark.json: %d bytes: expected at most %d", len(data), maxInstance)
	}
	if _, err := strictjson.Parse(data); err != nil {
		return nil, fmt.Errorf("hallmark.json: %w", err)
	}
	var in Instance
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("hallmark.json: %w", err)
	}
	if err := in.check(); err != nil {
		return nil, fmt.Errorf("hallmark.json: %w", err)
	}
	return &in, nil
}

// Marshal is the document as [ParseInstance] reads it; what it would refuse is
// an error.
func (in *Instance) Marshal() ([]byte, error) {
	if err := in.check(); err != nil {
		return nil, fmt.Errorf("hallmark.json: %w", err)
	}
	return json.MarshalIndent(in, "", "  ")
}

func (in *Instance) check() error {
	if in.Version != instanceFormat {
		return fmt.Errorf("version is %d: expected %d (a newer hallmark may read it)", in.Version, instanceFormat)
	}
	if len(in.Issuers) > maxIssuers {
		return fmt.Errorf("%d issuers: expected at most %d", len(in.Issuers), maxIssuers)
	}
	texts := map[string]string{"name": in.Name, "audience": in.Audience, "log.origin": in.Log.Origin}
	urls := map[string]string{"externalURL": in.ExternalURL, "tuf.mirror": in.TUF.Mirror, "log.baseURL": in.Log.BaseURL, "log.search": in.Log.Search}
	if len(in.Log.Shards) > maxShards {
		return fmt.Errorf("%d log shards: expected at most %d", len(in.Log.Shards), maxShards)
	}
	for i, shard := range in.Log.Shards {
		field := fmt.Sprintf("log.shards[%d].", i)
		texts[field+"origin"], urls[field+"search"] = shard.Origin, shard.Search
		if shard.Origin == "" || shard.Search == "" {
			return fmt.Errorf("%sorigin or search is absent", field)
		}
	}
	for i, is := range in.Issuers {
		field := fmt.Sprintf("issuers[%d].", i)
		urls[field+"url"] = is.URL
		texts[field+"clientID"], texts[field+"audience"], texts[field+"type"] = is.ClientID, is.Audience, is.Type
		if is.URL == "" {
			return fmt.Errorf("%surl is absent", field)
		}
	}
	for field, s := range texts {
		if err := checkText(s); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	for field, s := range urls {
		if s == "" {
			continue
		}
		if _, err := parseURL(s); err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
	}
	if s := in.TUF.RootSHA256; s != "" {
		if _, err := parseSHA256(s); err != nil {
			return fmt.Errorf("tuf.rootSHA256: %w", err)
		}
	}
	return nil
}

func checkText(s string) error {
	if len(s) > 1024 {
		return fmt.Errorf("%d bytes: expected at most 1024", len(s))
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errors.New("has characters that cannot be printed")
	}
	return nil
}

// parseURL takes the base URLs that this package follows.
func parseURL(s string) (*url.URL, error) {
	if err := checkText(s); err != nil {
		return nil, err
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("not a URL") // url's own error quotes it, with what secrets it holds
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, errors.New("expected a URL that begins with https:// (or, on this machine, http://)")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("expected a URL without user name, query and fragment")
	}
	return u, nil
}
