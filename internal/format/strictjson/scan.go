// SPDX-License-Identifier: Apache-2.0

package strictjson

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner checks a document in one pass. keys is a stack: the names of the
// objects that are open, innermost last.
type scanner struct {
	data []byte
	pos  int
	keys [][]byte
}

func scan(data []byte) ([]byte, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("JSON is not valid UTF-8")
	}
	s := &scanner{data: data}
	s.space()
	start := s.pos
	if err := s.value(0); err != nil {
		return nil, err
	}
	end := s.pos
	if s.space(); s.pos != len(data) {
		return nil, s.fail("data after the end of the JSON value")
	}
	return data[start:end:end], nil
}

func (s *scanner) fail(format string, args ...any) error {
	return fmt.Errorf("JSON, byte %d: %s", s.pos, fmt.Sprintf(format, args...))
}

func (s *scanner) space() {
	for s.pos < len(s.data) && isSpace(s.data[s.pos]) {
		s.pos++
	}
}

// peek is the next byte, or 0 at the end; 0 is never a valid one.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) value(depth int) error {
	switch c := s.peek(); {
	case c == '{' || c == '[':
		if depth == MaxDepth {
			return s.fail("nested more than %d deep", MaxDepth)
		}
		if c == '{' {
			return s.object(depth + 1)
		}
		return s.array(depth + 1)
	case c == '"':
		return s.string()
	case c == '-' || isDigit(c):
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	if s.pos == len(s.data) {
		return s.fail("unexpected end of input")
	}
	return s.fail("expected a value")
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return s.fail("expected a value")
	}
	s.pos += len(word)
	return nil
}

func (s *scanner) array(depth int) error {
	s.pos++
	if s.space(); s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		s.space()
		if err := s.value(depth); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return nil
		default:
			return s.fail("expected , or ] in an array")
		}
	}
}

func (s *scanner) object(depth int) error {
	s.pos++
	if s.space(); s.peek() == '}' {
		s.pos++
		return nil
	}
	base := len(s.keys)
	defer func() { s.keys = s.keys[:base] }()
	var seen map[string]struct{} // used once linear search would be slow
	for {
		if s.space(); s.peek() != '"' {
			return s.fail("expected a name in an object")
		}
		start := s.pos
		if err := s.string(); err != nil {
			return err
		}
		key := unquote(s.data[start+1 : s.pos-1])
		if err := s.note(key, base, &seen); err != nil {
			return err
		}
		if s.space(); s.peek() != ':' {
			return s.fail("expected : after a name")
		}
		s.pos++
		s.space()
		if err := s.value(depth); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.fail("expected , or } in an object")
		}
	}
}

// note records a name of the innermost object and refuses the second of two.
func (s *scanner) note(key []byte, base int, seen *map[string]struct{}) error {
	const linear = 16
	open := s.keys[base:]
	if *seen == nil {
		for _, k := range open {
			if bytes.Equal(k, key) {
				return s.fail("field %.64q occurs twice", key)
			}
		}
		if len(open) < linear {
			s.keys = append(s.keys, key)
			return nil
		}
		*seen = make(map[string]struct{}, 4*linear)
		for _, k := range open {
			(*seen)[string(k)] = struct{}{}
		}
	}
	if _, dup := (*seen)[string(key)]; dup {
		return s.fail("field %.64q occurs twice", key)
	}
	if len(*seen) == MaxMembers {
		return s.fail("object has more than %d members", MaxMembers)
	}
	(*seen)[string(key)] = struct{}{}
	return nil
}

func (s *scanner) string() error {
	for s.pos++; s.pos < len(s.data); s.pos++ {
		s.pos += plain(s.data[s.pos:])
		if s.pos == len(s.data) {
			break
		}
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c < 0x20:
			return s.fail("control character in a string")
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		}
	}
	return s.fail("unexpected end of input in a string")
}

// plain says how many of the first bytes of b are certainly neither a quote, a
// backslash nor a control character. It looks at eight at a time.
func plain(b []byte) int {
	const low, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, slash := w^(low*'"'), w^(low*'\\')
		// x - low sets the high bit of a byte that was zero (or that follows one,
		// which only ends the loop early); w - 0x20... that of a byte below 0x20.
		if ((quote-low)&^quote|(slash-low)&^slash|(w-low*0x20)&^w)&high != 0 {
			break
		}
	}
	return n
}

// escape checks one escape and leaves pos on its last byte.
func (s *scanner) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
	default:
		return s.fail("unknown escape in a string")
	}
	r, ok := hex4(s.data[s.pos+1:])
	if !ok {
		return s.fail("expected four hex digits after \\u")
	}
	s.pos += 4
	if !utf16.IsSurrogate(r) {
		return nil
	}
	if rest := s.data[s.pos+1:]; len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
		if low, ok := hex4(rest[2:]); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
			s.pos += 6
			return nil
		}
	}
	return s.fail("lone surrogate in a string")
}

// number checks -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return s.fail("malformed number")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return s.fail("malformed number")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.fail("malformed number")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for isDigit(s.peek()) {
		s.pos++
	}
	return s.pos > start
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// space returns the first index from p on that is not white space. Like skip
// and unquote it is for checked input only.
func space(b []byte, p int) int {
	for isSpace(b[p]) {
		p++
	}
	return p
}

// skip returns the end of the checked value that starts at p.
func skip(b []byte, p int) int {
	switch b[p] {
	case '"':
		return skipString(b, p)
	case '{', '[':
		for depth := 0; ; p++ {
			switch b[p] {
			case '"':
				p = skipString(b, p) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return p + 1
				}
			}
		}
	}
	for p < len(b) && !isSpace(b[p]) && b[p] != ',' && b[p] != '}' && b[p] != ']' {
		p++
	}
	return p
}

func skipString(b []byte, p int) int {
	p++
	end := p + bytes.IndexByte(b[p:], '"')
	for at := bytes.IndexByte(b[p:end], '\\'); at >= 0; {
		p += at + 2 // past what is escaped
		if p > end {
			end = p + bytes.IndexByte(b[p:], '"')
		}
		at = bytes.IndexByte(b[p:end], '\\')
	}
	return end + 1
}

// unquote resolves the escapes in the inside of a checked string. Without any,
// it returns b itself.
func unquote(b []byte) []byte {
	i := bytes.IndexByte(b, '\\')
	if i < 0 {
		return b
	}
	out := append(make([]byte, 0, len(b)), b[:i]...)
	for i < len(b) {
		if b[i] != '\\' {
			out = append(out, b[i])
			i++
			continue
		}
		c := b[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r, _ := hex4(b[i:])
			i += 4
			if utf16.IsSurrogate(r) {
				low, _ := hex4(b[i+2:])
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		out = append(out, c)
	}
	return out
}
