// SPDX-License-Identifier: Apache-2.0

package certext

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SANKind says what kind of name a SAN is. The zero value is no kind.
type SANKind uint8

// The kinds of names this package reads and writes.
const (
	Email     SANKind = iota + 1 // rfc822Name
	URI                          // uniformResourceIdentifier
	OtherName                    // otherName of type OIDOtherName, a UTF8String
	DNS                          // dNSName
	IP                           // iPAddress, in the text form of net/netip
)

// String names the kind as humans and messages do.
func (k SANKind) String() string {
	switch k {
	case Email:
		return "email"
	case URI:
		return "URI"
	case OtherName:
		return "otherName"
	case DNS:
		return "DNS"
	case IP:
		return "IP"
	}
	return fmt.Sprintf("SANKind(%d)", uint8(k))
}

// SAN is one subject alternative name: who a certificate speaks for.
type SAN struct {
	Kind  SANKind
	Value string
}

// String returns the name itself, without its kind.
func (s SAN) String() string { return s.Value }

// GeneralName tags of RFC 5280 §4.2.1.6.
const (
	tagOtherName = 0
	tagEmail     = 1
	tagDNS       = 2
	tagURI       = 6
	tagIP        = 7
)

// SANExtension returns the critical subjectAltName extension that holds
// exactly this name. It is critical because the certificates it goes into have
// an empty subject (RFC 5280 §4.2.1.6).
func SANExtension(san SAN) (pkix.Extension, error) {
	if err := san.check(); err != nil {
		return pkix.Extension{}, fmt.Errorf("subject alternative name: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		switch san.Kind {
		case Email:
			b.AddASN1(casn1.Tag(tagEmail).ContextSpecific(), raw(san.Value))
		case DNS:
			b.AddASN1(casn1.Tag(tagDNS).ContextSpecific(), raw(san.Value))
		case URI:
			b.AddASN1(casn1.Tag(tagURI).ContextSpecific(), raw(san.Value))
		case IP:
			addr := netip.MustParseAddr(san.Value) // check has parsed it
			b.AddASN1(casn1.Tag(tagIP).ContextSpecific(), raw(string(addr.AsSlice())))
		case OtherName:
			b.AddASN1(casn1.Tag(tagOtherName).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(OIDOtherName)
				b.AddASN1(casn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
					b.AddASN1(casn1.UTF8String, raw(san.Value))
				})
			})
		}
	})
	value, err := b.Bytes()
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("subject alternative name: %w", err)
	}
	return pkix.Extension{Id: OIDSubjectAltName, Critical: true, Value: value}, nil
}

// raw writes s as it is.
func raw(s string) cryptobyte.BuilderContinuation {
	return func(b *cryptobyte.Builder) { b.AddBytes([]byte(s)) }
}

// check says why a name cannot go into a certificate.
func (s SAN) check() error {
	if s.Value == "" {
		return errors.New("is empty")
	}
	if len(s.Value) > MaxExtension/2 {
		return fmt.Errorf("has %d bytes, at most %d are allowed", len(s.Value), MaxExtension/2)
	}
	switch s.Kind {
	case OtherName:
		if !utf8.ValidString(s.Value) {
			return errors.New("is not UTF-8")
		}
		return nil
	case IP:
		addr, err := netip.ParseAddr(s.Value)
		if err != nil || addr.Zone() != "" {
			return fmt.Errorf("%q is not an IP address", s.Value)
		}
		return nil
	case URI:
		if u, err := url.Parse(s.Value); err != nil || u.Scheme == "" {
			return fmt.Errorf("%q is not an absolute URI", s.Value)
		}
	case Email, DNS:
	default:
		return fmt.Errorf("has the unknown kind %d; expected email, URI, otherName, DNS or IP", s.Kind)
	}
	for i := range len(s.Value) {
		if c := s.Value[i]; c < 0x20 || c > 0x7e {
			return fmt.Errorf("%s %q: only printable ASCII is allowed (IA5String)", s.Kind, s.Value)
		}
	}
	return nil
}

// ParseSANs reads the subject alternative names of a certificate in the order
// in which it lists them, including an otherName of type OIDOtherName, which
// crypto/x509 does not read. Names of other kinds (directoryName, otherNames
// of other types, …) are left out. A certificate without the extension has no
// names; a malformed extension is an error.
func ParseSANs(cert *x509.Certificate) ([]SAN, error) {
	var value []byte
	found := false
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(OIDSubjectAltName) {
			continue
		}
		if found {
			return nil, errors.New("subject alternative name: extension present more than once")
		}
		found, value = true, ext.Value
	}
	if !found {
		return nil, nil
	}
	sans, err := parseGeneralNames(value)
	if err != nil {
		return nil, fmt.Errorf("subject alternative name: %w", err)
	}
	return sans, nil
}

// parseGeneralNames reads the value of a subjectAltName extension.
func parseGeneralNames(value []byte) ([]SAN, error) {
	if len(value) > MaxExtension {
		return nil, fmt.Errorf("extension has %d bytes, at most %d are allowed", len(value), MaxExtension)
	}
	der := cryptobyte.String(value)
	var names cryptobyte.String
	if !der.ReadASN1(&names, casn1.SEQUENCE) || !der.Empty() {
		return nil, errors.New("extension is not one DER SEQUENCE")
	}
	var sans []SAN
	for n := 0; !names.Empty(); n++ {
		if n == maxNames {
			return nil, fmt.Errorf("more than %d names", maxNames)
		}
		var name cryptobyte.String
		var tag casn1.Tag
		if !names.ReadAnyASN1(&name, &tag) {
			return nil, fmt.Errorf("name %d: malformed DER", n)
		}
		san, ok, err := parseGeneralName(tag, name)
		if err != nil {
			return nil, fmt.Errorf("name %d: %w", n, err)
		}
		if ok {
			sans = append(sans, san)
		}
	}
	return sans, nil
}

// parseGeneralName reads one name; ok is false for kinds that are left out.
func parseGeneralName(tag casn1.Tag, name cryptobyte.String) (san SAN, ok bool, err error) {
	var kind SANKind
	switch tag {
	case casn1.Tag(tagEmail).ContextSpecific():
		kind = Email
	case casn1.Tag(tagDNS).ContextSpecific():
		kind = DNS
	case casn1.Tag(tagURI).ContextSpecific():
		kind = URI
	case casn1.Tag(tagIP).ContextSpecific():
		addr, ok := netip.AddrFromSlice(name)
		if !ok {
			return SAN{}, false, fmt.Errorf("IP address has %d bytes; expected 4 or 16", len(name))
		}
		return SAN{IP, addr.String()}, true, nil
	case casn1.Tag(tagOtherName).ContextSpecific().Constructed():
		return parseOtherName(name)
	default:
		return SAN{}, false, nil
	}
	for _, c := range name {
		if c >= 0x80 {
			return SAN{}, false, fmt.Errorf("%s is not ASCII (IA5String)", kind)
		}
	}
	return SAN{kind, string(name)}, true, nil
}

// parseOtherName reads the content of an otherName.
func parseOtherName(name cryptobyte.String) (san SAN, ok bool, err error) {
	var typeID asn1.ObjectIdentifier
	var explicit cryptobyte.String
	if !name.ReadASN1ObjectIdentifier(&typeID) ||
		!name.ReadASN1(&explicit, casn1.Tag(0).ContextSpecific().Constructed()) || !name.Empty() {
		return SAN{}, false, errors.New("otherName: malformed DER")
	}
	if !typeID.Equal(OIDOtherName) {
		return SAN{}, false, nil
	}
	var s cryptobyte.String
	if !explicit.ReadASN1(&s, casn1.UTF8String) || !explicit.Empty() {
		return SAN{}, false, errors.New("otherName: value is not one DER UTF8String")
	}
	if !utf8.Valid(s) {
		return SAN{}, false, errors.New("otherName: value is not UTF-8")
	}
	return SAN{OtherName, string(s)}, true, nil
}

// ForVerify returns a certificate that crypto/x509 can verify: cert itself, or,
// where crypto/x509 left a subjectAltName this package reads (an otherName of
// type OIDOtherName) as an unhandled critical extension, a shallow copy that
// no longer lists it as unhandled. Any other unhandled critical extension
// stays, so that (*x509.Certificate).Verify still refuses the certificate.
func ForVerify(cert *x509.Certificate) *x509.Certificate {
	at := -1
	for i, id := range cert.UnhandledCriticalExtensions {
		if id.Equal(OIDSubjectAltName) {
			at = i
		}
	}
	if at < 0 {
		return cert
	}
	if sans, err := ParseSANs(cert); err != nil || len(sans) == 0 {
		return cert
	}
	c := *cert
	c.UnhandledCriticalExtensions = nil
	for i, id := range cert.UnhandledCriticalExtensions {
		if i != at {
			c.UnhandledCriticalExtensions = append(c.UnhandledCriticalExtensions, id)
		}
	}
	return &c
}
