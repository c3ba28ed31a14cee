// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// generation is one of the keys that follow each other in a role, with what
// belongs to it: a certificate chain (ca, tsa) or a log of its own (ct, log).
// It signs from From on, until the next one's From; from when to when clients
// trust it stands in trusted_root.json.
type generation struct {
	Name string    `json:"name"` // of its key file, certificate file or CT log folder
	From time.Time `json:"from"` // whole seconds

	Origin  string `json:"origin,omitempty"`  // of a log or CT log
	BaseURL string `json:"baseURL,omitempty"` // of a log or CT log
}

// rotating lists the roles that have generations.
var rotating = []string{keyCA, keyTSA, keyCT, keyLog}

// nameOf is what generation n, counted from 1, of a role is called.
func nameOf(role string, n int) string {
	if n == 1 {
		return role
	}
	return role + "-" + strconv.Itoa(n)
}

// generations is every generation of a role, oldest first; there is always one.
func (m *manifest) generations(role string) []generation {
	first := generation{Name: role, From: m.Created}
	switch role {
	case keyLog:
		first.Origin, first.BaseURL = m.LogOrigin, m.LogBaseURL
	case keyCT:
		first.Origin, first.BaseURL = m.ctNames(1)
	}
	return append([]generation{first}, m.Rotated[role]...)
}

// ctNames is the origin and base URL of the nth CT log.
func (m *manifest) ctNames(n int) (origin, baseURL string) {
	path := "/ct"
	if n > 1 {
		path += "/" + strconv.Itoa(n)
	}
	host := m.ExternalURL
	if u, err := url.Parse(m.ExternalURL); err == nil {
		host = u.Host
	}
	return host + path, m.ExternalURL + path
}

// checkGenerations refuses a manifest that no rotation could have written.
func (m *manifest) checkGenerations() error {
	known := map[string]bool{}
	for _, role := range rotating {
		known[role] = true
		all := m.generations(role)
		origins := map[string]bool{}
		for i, g := range all {
			if want := nameOf(role, i+1); g.Name != want {
				return fmt.Errorf("rotated.%s: generation %d is called %q: expected %q", role, i+1, g.Name, want)
			}
			if i > 0 && !g.From.After(all[i-1].From) {
				return fmt.Errorf("rotated.%s: %s begins at %s, not after the one before it", role, g.Name, g.From)
			}
			if role == keyLog && (!originForm.MatchString(g.Origin) || origins[g.Origin]) {
				return fmt.Errorf("rotated.%s: %s has origin %q: expected a host name that no other shard has", role, g.Name, g.Origin)
			}
			origins[g.Origin] = true
		}
	}
	for role := range m.Rotated {
		if !known[role] {
			return fmt.Errorf("rotated: %q is nothing that rotates", role)
		}
	}
	return nil
}

// unretired is those of a role's generations that sign at the given time or
// later. The others' keys are not needed any more.
func unretired(all []generation, now time.Time) []generation {
	for len(all) > 1 && !now.Before(all[1].From) {
		all = all[1:]
	}
	return all
}
