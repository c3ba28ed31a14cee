// SPDX-License-Identifier: Apache-2.0

package strictjson

import (
	"fmt"
	"strconv"
)

// This file reads the JSON form of Protocol Buffers
// (https://protobuf.dev/programming-guides/json/): a field has two names, null
// is absence, absence is zero, and 64-bit numbers are strings.

// Either returns the member under one of the two names of a field, camelCase
// and as it was declared; false where it is absent or null. Both at once are an
// error, even if one is null.
func (m Members) Either(camel, declared string) (Value, bool, error) {
	var found Value
	n := 0
	for i := range m {
		if m[i].name == camel || m[i].name == declared {
			found = m[i].value
			n++
		}
	}
	if n > 1 {
		return Value{}, false, fmt.Errorf("field %s occurs twice, also as %s", camel, declared)
	}
	return found, found.Kind() != Null, nil
}

// Fields reads the fields of one message into variables, which keep their value
// where a field is absent or null. After the first error, which names the
// field, it reads no more.
type Fields struct {
	m   Members
	err error
}

// FieldsOf reads the fields of a message from its members.
func FieldsOf(m Members) *Fields { return &Fields{m: m} }

// Err is the first error.
func (f *Fields) Err() error { return f.err }

// Value gets a field as it is, and whether it is there.
func (f *Fields) Value(camel, declared string, v *Value, present *bool) {
	if f.err == nil {
		*v, *present, f.err = f.m.Either(camel, declared)
	}
}

// field calls read for a field that is there.
func (f *Fields) field(camel, declared string, read func(Value) error) {
	var v Value
	var present bool
	f.Value(camel, declared, &v, &present)
	if f.err != nil || !present {
		return
	}
	if err := read(v); err != nil {
		f.err = fmt.Errorf("%s: %w", camel, err)
	}
}

// Int64 reads a 64-bit integer.
func (f *Fields) Int64(camel, declared string, n *int64) {
	f.field(camel, declared, func(v Value) (err error) { *n, err = v.Int64String(); return })
}

// Bytes reads bytes; none are nil.
func (f *Fields) Bytes(camel, declared string, b *[]byte) {
	f.field(camel, declared, func(v Value) (err error) {
		if *b, err = v.Base64(); len(*b) == 0 {
			*b = nil
		}
		return err
	})
}

// Text reads a string.
func (f *Fields) Text(camel, declared string, s *string) {
	f.field(camel, declared, func(v Value) (err error) { *s, err = v.Text(); return })
}

// List calls each for every element of a repeated field, at most limit.
func (f *Fields) List(camel, declared string, limit int, each func(Value) error) {
	var elements []Value
	f.field(camel, declared, func(v Value) (err error) { elements, err = v.Elements(limit); return })
	for i := 0; i < len(elements) && f.err == nil; i++ {
		if err := each(elements[i]); err != nil {
			f.err = fmt.Errorf("%s[%d]: %w", camel, i, err)
		}
	}
}

// Sub calls read with the fields of a message that is there, which may have
// only the known names.
func (f *Fields) Sub(camel, declared string, read func(*Fields), known ...string) {
	f.field(camel, declared, func(v Value) error {
		m, err := v.Closed(known...)
		if err != nil {
			return err
		}
		sub := FieldsOf(m)
		read(sub)
		return sub.err
	})
}

// Int64String returns the integer v, written as a number or as a string of one,
// without fraction or exponent.
func (v Value) Int64String() (int64, error) {
	if v.Kind() != String {
		return v.Int64()
	}
	text := unquote(v.raw[1 : len(v.raw)-1])
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || !isInteger(text) {
		return 0, fmt.Errorf("expected a 64-bit integer, found %.32q", text)
	}
	return n, nil
}

// isInteger checks for -?(0|[1-9][0-9]*) and nothing else.
func isInteger(text []byte) bool {
	s := scanner{data: text}
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return false
	}
	return s.pos == len(text)
}
