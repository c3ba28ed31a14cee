// SPDX-License-Identifier: Apache-2.0

// Package strictjson reads JSON (RFC 8259, https://www.rfc-editor.org/rfc/rfc8259)
// so that two readers cannot see two different documents in it.
//
// encoding/json takes the last of two equal names, matches names in any case,
// replaces broken UTF-8 and lone surrogates by U+FFFD; evidence that can be read
// in two ways is evidence for both. Here each of these is an error.
//
// Invariants of a [Value]: its bytes are one whole JSON value in valid UTF-8,
// nested at most [MaxDepth] deep, with no name twice in an object, no object of
// more than [MaxMembers] members, and no lone surrogate in a string. Names are
// compared exactly; a name that differs from a known one in case only is refused.
//
// Nothing here panics on any input. A Value aliases the bytes it was parsed from.
package strictjson

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxDepth is how many arrays and objects may be open at once.
const MaxDepth = 128

// MaxMembers is how many members one object may have.
const MaxMembers = 1 << 20

// Kind is what sort of JSON value a [Value] is.
type Kind string

// The kinds, named as error messages name them.
const (
	Null   Kind = "null"
	Bool   Kind = "a boolean"
	Number Kind = "a number"
	String Kind = "a string"
	Array  Kind = "an array"
	Object Kind = "an object"
)

// Value is one JSON value that has been checked. The zero Value is null.
type Value struct{ raw []byte }

// Parse checks that data is exactly one JSON value, with nothing but white
// space around it. The caller caps len(data) and must not change data while
// the Value is in use.
func Parse(data []byte) (Value, error) {
	raw, err := scan(data)
	if err != nil {
		return Value{}, err
	}
	return Value{raw}, nil
}

// Raw is the value as it was written, without the white space around it.
func (v Value) Raw() []byte {
	if v.raw == nil {
		return []byte("null")
	}
	return v.raw
}

// Kind says what v is.
func (v Value) Kind() Kind {
	if len(v.raw) == 0 {
		return Null
	}
	switch v.raw[0] {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	}
	return Number
}

func (v Value) want(k Kind) error {
	got := v.Kind()
	if got == Null && k != Null {
		return fmt.Errorf("missing or null: expected %s", k)
	}
	if got != k {
		return fmt.Errorf("expected %s, found %s", k, got)
	}
	return nil
}

// Members holds the known members of one object.
type Members []member

type member struct {
	name  string
	value Value
}

// Get returns the member called name; false where it is absent or null.
func (m Members) Get(name string) (Value, bool) {
	for i := range m {
		if m[i].name == name {
			return m[i].value, m[i].value.Kind() != Null
		}
	}
	return Value{}, false
}

// Open returns the members of the object v that are called one of known, and
// ignores the others. A name that is a known one in another case is an error.
func (v Value) Open(known ...string) (Members, error) { return v.members(known, false) }

// Closed is like [Value.Open], but any unknown name is an error.
func (v Value) Closed(known ...string) (Members, error) { return v.members(known, true) }

func (v Value) members(known []string, closed bool) (Members, error) {
	m := make(Members, 0, min(len(known), 8))
	err := v.each(func(name []byte, val Value) error {
		for _, k := range known {
			if string(name) == k {
				m = append(m, member{k, val})
				return nil
			}
		}
		for _, k := range known {
			if strings.EqualFold(string(name), k) {
				return fmt.Errorf("field %.64q must be written %q", name, k)
			}
		}
		if closed {
			return fmt.Errorf("unknown field %.64q: expected only %s", name, strings.Join(known, ", "))
		}
		return nil
	})
	return m, err
}

// Map calls each for every member of the object v, in the order written, up to
// limit members.
func (v Value) Map(limit int, each func(name string, val Value) error) error {
	n := 0
	return v.each(func(name []byte, val Value) error {
		if n++; n > limit {
			return fmt.Errorf("object has more than %d members", limit)
		}
		return each(string(name), val)
	})
}

func (v Value) each(f func([]byte, Value) error) error {
	if err := v.want(Object); err != nil {
		return err
	}
	for p := space(v.raw, 1); v.raw[p] != '}'; {
		end := skip(v.raw, p)
		name := unquote(v.raw[p+1 : end-1])
		p = space(v.raw, space(v.raw, end)+1) // past the colon
		end = skip(v.raw, p)
		if err := f(name, Value{v.raw[p:end:end]}); err != nil {
			return err
		}
		if p = space(v.raw, end); v.raw[p] == ',' {
			p = space(v.raw, p+1)
		}
	}
	return nil
}

// Elements returns the elements of the array v, at most limit of them.
func (v Value) Elements(limit int) ([]Value, error) {
	if err := v.want(Array); err != nil {
		return nil, err
	}
	var out []Value
	for p := space(v.raw, 1); v.raw[p] != ']'; {
		if len(out) == limit {
			return nil, fmt.Errorf("array has more than %d elements", limit)
		}
		end := skip(v.raw, p)
		out = append(out, Value{v.raw[p:end:end]})
		if p = space(v.raw, end); v.raw[p] == ',' {
			p = space(v.raw, p+1)
		}
	}
	return out, nil
}

// Text returns the string v, unescaped.
func (v Value) Text() (string, error) {
	if err := v.want(String); err != nil {
		return "", err
	}
	return string(unquote(v.raw[1 : len(v.raw)-1])), nil
}

// Int64 returns the integer v, written as a number without fraction or exponent.
func (v Value) Int64() (int64, error) {
	if err := v.want(Number); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(v.raw), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("expected a 64-bit integer, found %.32s", v.raw)
	}
	return n, nil
}

// errBase64 does not quote the text, which may be large or secret.
var errBase64 = errors.New("string is not base64 (standard or URL alphabet, with or without padding, no line breaks)")

// Base64 returns the bytes that the string v encodes: in the standard or the
// URL alphabet, with or without padding (protojson's rule for bytes fields), but
// without line breaks and without stray bits in the last character.
func (v Value) Base64() ([]byte, error) {
	if err := v.want(String); err != nil {
		return nil, err
	}
	return decodeBase64(unquote(v.raw[1 : len(v.raw)-1]))
}

// DecodeBase64 decodes s by the rule of [Value.Base64].
func DecodeBase64(s string) ([]byte, error) { return decodeBase64([]byte(s)) }

func decodeBase64(s []byte) ([]byte, error) {
	if bytes.IndexByte(s, '\r') >= 0 || bytes.IndexByte(s, '\n') >= 0 {
		return nil, errBase64 // encoding/base64 would skip them
	}
	enc := base64.StdEncoding
	if bytes.IndexByte(s, '-') >= 0 || bytes.IndexByte(s, '_') >= 0 {
		enc = base64.URLEncoding
	}
	if len(s)%4 != 0 {
		enc = enc.WithPadding(base64.NoPadding)
	}
	out := make([]byte, enc.DecodedLen(len(s)))
	n, err := enc.Strict().Decode(out, s)
	if err != nil {
		return nil, errBase64
	}
	return out[:n:n], nil
}
