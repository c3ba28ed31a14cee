// SPDX-License-Identifier: Apache-2.0

package trustreview

import (
	"fmt"

	"hallmark/internal/format/trustroot"
)

// The roles of services, which are used for signing and trusted for nothing.
const (
	SignCA   Role = "signing-ca"
	SignOIDC Role = "signing-oidc"
	SignLog  Role = "signing-log"
	SignTSA  Role = "signing-tsa"
)

// Service is one service of a signing config.
type Service struct {
	Role Role
	trustroot.Service
}

// Services lists every service of c in the order of the file. nil has none.
func Services(c *trustroot.SigningConfig) []Service {
	if c == nil {
		return nil
	}
	var out []Service
	for _, list := range []struct {
		role     Role
		services []trustroot.Service
	}{{SignCA, c.CAs}, {SignOIDC, c.OIDCs}, {SignLog, c.Logs}, {SignTSA, c.TSAs}} {
		for _, s := range list.services {
			out = append(out, Service{list.role, s})
		}
	}
	return out
}

// DiffServices compares two signing configs, either of which may be nil: a
// service with the same URL, API version and operator is the same one.
func DiffServices(a, b *trustroot.SigningConfig) []Change {
	entries := func(c *trustroot.SigningConfig) []Entry {
		var out []Entry
		for _, s := range Services(c) {
			out = append(out, Entry{Role: s.Role, URL: s.URL, Valid: s.Valid, Key: fmt.Sprintf("%s v%d %s", s.URL, s.APIVersion, s.Operator)})
		}
		return out
	}
	changes := diff(entries(a), entries(b))
	for i := range changes {
		changes[i].Entry.Key = ""
	}
	if a == nil || b == nil {
		return changes
	}
	for _, sel := range []struct {
		role Role
		a, b trustroot.Selector
	}{{SignLog, a.LogSelector, b.LogSelector}, {SignTSA, a.TSASelector, b.TSASelector}} {
		if sel.a != sel.b {
			changes = append(changes, Change{Kind: Changed, Entry: Entry{Role: sel.role}, Fields: []FieldChange{{"selector", selector(sel.a), selector(sel.b)}}})
		}
	}
	return changes
}

func selector(s trustroot.Selector) string {
	if s.Mode == trustroot.Exact {
		return fmt.Sprintf("%s:%d", s.Mode, s.Count)
	}
	return s.Mode.String()
}
