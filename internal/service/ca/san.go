// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"unicode/utf8"

	"hallmark/internal/format/certext"
)

// checkSAN says whether a name is one that we put in certificates. Issuing asks
// it before there is a certificate, to tell the client; linting asks it again of
// what the certificate holds.
func checkSAN(san certext.SAN) error {
	v := san.Value
	if v == "" || len(v) > maxSAN {
		return fmt.Errorf("name has %d bytes: it must have 1 to %d", len(v), maxSAN)
	}
	switch san.Kind {
	case certext.Email:
		return checkEmail(v)
	case certext.URI:
		return checkURI(v)
	case certext.OtherName:
		return checkUsername(v)
	}
	return fmt.Errorf("a %v is no name for a signer: expected an email address, a URI or a user name", san.Kind)
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// checkEmail asks for a plain addr-spec (RFC 5322 §3.4.1) in ASCII, since an
// rfc822Name can hold no other (RFC 5280 §4.2.1.6).
func checkEmail(v string) error {
	local, domain, _ := strings.Cut(v, "@")
	a, err := mail.ParseAddress(v)
	if err != nil || !printable(v) || a.Name != "" || a.Address != v || local == "" ||
		strings.ContainsAny(v, `"<>(),;:\[]`) || !hostname(domain) {
		return fmt.Errorf("%.80q is not a plain email address", v)
	}
	return nil
}

// checkURI asks for scheme://host and whatever follows.
func checkURI(v string) error {
	u, err := url.Parse(v)
	if err != nil || !printable(v) || !u.IsAbs() || u.Opaque != "" || u.User != nil || !hostname(u.Hostname()) {
		return fmt.Errorf("%.80q is not an absolute URI with a host", v)
	}
	return nil
}

// checkUsername asks for the user!domain that upstream puts in an otherName.
func checkUsername(v string) error {
	user, domain, _ := strings.Cut(v, "!")
	if user == "" || !hostname(domain) || !utf8.ValidString(v) ||
		strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) || strings.Contains(user, "@") {
		return fmt.Errorf("%.80q is not a user name: expected user!domain", v)
	}
	return nil
}

// hostname is looser than DNS (underscores, single labels) and stricter than
// URIs: labels of letters, digits, - and _, or an IPv6 address.
func hostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	if strings.Contains(s, ":") {
		return !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF:.", r) })
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.ContainsFunc(label, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) {
			return false
		}
	}
	return true
}
