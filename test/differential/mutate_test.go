// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A node is a JSON value that keeps the order of names and can have one twice,
// so that every bundle somebody could send can be written.
type node struct {
	text    string   // a string's, if it is one
	raw     string   // a number, true, false or null
	members []member // an object's
	list    []*node  // an array's
	kind    byte     // '{', '[', '"' or 0
}

type member struct {
	name  string
	value *node
}

func parse(tb testing.TB, data []byte) *node {
	tb.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var read func() *node
	read = func() *node {
		token, err := dec.Token()
		if err != nil {
			tb.Fatal(err)
		}
		switch t := token.(type) {
		case json.Delim:
			n := &node{kind: byte(t)}
			for dec.More() {
				if n.kind == '[' {
					n.list = append(n.list, read())
					continue
				}
				name, err := dec.Token()
				if err != nil {
					tb.Fatal(err)
				}
				n.members = append(n.members, member{name.(string), read()})
			}
			if _, err := dec.Token(); err != nil {
				tb.Fatal(err)
			}
			return n
		case string:
			return &node{kind: '"', text: t}
		case nil:
			return &node{raw: "null"}
		default:
			return &node{raw: fmt.Sprint(t)}
		}
	}
	return read()
}

func (n *node) write(out *bytes.Buffer) {
	quote := func(s string) {
		b, err := json.Marshal(s)
		if err != nil {
			panic(err) // strings always marshal
		}
		out.Write(b)
	}
	switch n.kind {
	case '{':
		out.WriteByte('{')
		for i, m := range n.members {
			if i > 0 {
				out.WriteByte(',')
			}
			quote(m.name)
			out.WriteByte(':')
			m.value.write(out)
		}
		out.WriteByte('}')
	case '[':
		out.WriteByte('[')
		for i, e := range n.list {
			if i > 0 {
				out.WriteByte(',')
			}
			e.write(out)
		}
		out.WriteByte(']')
	case '"':
		quote(n.text)
	default:
		out.WriteString(n.raw)
	}
}

// A mutant is a bundle that differs from a good one in one place.
type mutant struct {
	path string // the field, with [] for any index
	what string // what was done to it
	json []byte
}

// mutants makes them all: every field dropped, emptied, doubled, renamed, set to
// null and to other types; every list reordered, repeated and cut; every string
// changed at several places as text, as base64 and as a number.
func mutants(tb testing.TB, doc []byte) []mutant {
	root := parse(tb, doc)
	var all []mutant
	again := func(path, what string) {
		var out bytes.Buffer
		root.write(&out)
		all = append(all, mutant{path, what, out.Bytes()})
	}
	var walk func(path string, n *node)
	// as puts other in the place of n for one mutant.
	as := func(path, what string, n *node, other node) {
		kept := *n
		*n = other
		again(path, what)
		*n = kept
	}
	walk = func(path string, n *node) {
		for _, raw := range []string{"null", "true", "0", `""`, "{}", "[]"} {
			as(path, "is "+raw, n, node{raw: raw})
		}
		switch n.kind {
		case '{':
			members := n.members
			for i, m := range members {
				child := strings.TrimPrefix(path+"."+m.name, ".")
				with := func(what string, changed ...member) {
					as(child, what, n, node{kind: '{', members: slices.Concat(members[:i], changed, members[i+1:])})
				}
				with("dropped")
				with("doubled", m, m)
				with("followed by null", m, member{m.name, &node{raw: "null"}})
				with("in snake case", member{snake(m.name), m.value})
				with("in both cases", m, member{snake(m.name), m.value})
				with("capitalised", member{strings.ToUpper(m.name[:1]) + m.name[1:], m.value})
				walk(child, m.value)
			}
			as(path, "with an unknown field", n, node{kind: '{', members: append(slices.Clone(members), member{"unknown", &node{raw: "1"}})})
			reversed := slices.Clone(members)
			slices.Reverse(reversed)
			as(path, "reversed", n, node{kind: '{', members: reversed})
		case '[':
			list := n.list
			reversed := slices.Clone(list)
			slices.Reverse(reversed)
			as(path, "repeated", n, node{kind: '[', list: append(slices.Clone(list), list...)})
			as(path, "reversed", n, node{kind: '[', list: reversed})
			as(path, "with null", n, node{kind: '[', list: append(slices.Clone(list), &node{raw: "null"})})
			as(path, "with {}", n, node{kind: '[', list: append(slices.Clone(list), &node{raw: "{}"})})
			for i, e := range list {
				as(path+"[]", "dropped", n, node{kind: '[', list: slices.Delete(slices.Clone(list), i, i+1)})
				if i < 4 { // the others are alike
					walk(path+"[]", e)
				}
			}
		case '"':
			for what, text := range texts(n.text) {
				as(path, what, n, node{kind: '"', text: text})
			}
			if _, err := strconv.ParseInt(n.text, 10, 64); err == nil {
				as(path, "as a number", n, node{raw: n.text})
				as(path, "with a fraction", n, node{raw: n.text + ".0"})
				as(path, "with an exponent", n, node{raw: n.text + "e0"})
			}
		}
	}
	walk("", root)
	return all
}

// everyByte calls try with a bit flipped in each byte of each binary field.
func everyByte(tb testing.TB, doc []byte, try func(path string, data []byte)) {
	root := parse(tb, doc)
	var walk func(path string, n *node)
	walk = func(path string, n *node) {
		for _, m := range n.members {
			walk(path+"."+m.name, m.value)
		}
		for _, e := range n.list {
			walk(path+"[]", e)
		}
		raw, err := base64.StdEncoding.DecodeString(n.text)
		if err != nil {
			return
		}
		kept := n.text
		for at := range raw {
			raw[at] ^= 1 << (at % 8)
			n.text = base64.StdEncoding.EncodeToString(raw)
			raw[at] ^= 1 << (at % 8)
			var out bytes.Buffer
			root.write(&out)
			try(fmt.Sprintf("%s, byte %d", path, at), out.Bytes())
		}
		n.text = kept
	}
	walk("", root)
}

func snake(name string) string {
	var out strings.Builder
	for _, r := range name {
		if 'A' <= r && r <= 'Z' {
			out.WriteByte('_')
			r += 'a' - 'A'
		}
		out.WriteRune(r)
	}
	return out.String()
}

// texts are variations of a string.
func texts(s string) map[string]string {
	all := map[string]string{
		"with a space": s + " ", "after a space": " " + s, "with a line break": s + "\n", "said twice": s + s, "is a letter": "A",
	}
	for i, at := range []int{0, len(s) / 3, len(s) / 2, len(s) - 1} {
		if at >= 0 && at < len(s) {
			all[fmt.Sprintf("other at %d of 3", i)] = s[:at] + "é" + s[at+1:]
			all[fmt.Sprintf("less at %d of 3", i)] = s[:at] + s[at+1:]
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		for what, x := range map[string]int64{"plus one": n + 1, "minus one": n - 1, "negative": -n - 1, "largest": 1<<63 - 1, "zero": 0} {
			all[what] = strconv.FormatInt(x, 10)
		}
		all["with a zero in front"] = "0" + s
		all["with a plus"] = "+" + s
		return all
	}
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(raw) == 0 {
		return all
	}
	for i, at := range []int{0, len(raw) / 4, len(raw) / 3, len(raw) / 2, len(raw) * 3 / 4, len(raw) - 1} {
		b := bytes.Clone(raw)
		b[at] ^= 1
		all[fmt.Sprintf("bit flipped at %d of 5", i)] = base64.StdEncoding.EncodeToString(b)
	}
	all["a byte less"] = base64.StdEncoding.EncodeToString(raw[:len(raw)-1])
	all["a byte more"] = base64.StdEncoding.EncodeToString(append(bytes.Clone(raw), 0))
	all["half"] = base64.StdEncoding.EncodeToString(raw[:len(raw)/2])
	all["without padding"] = strings.TrimRight(s, "=")
	all["in the URL alphabet"] = base64.URLEncoding.EncodeToString(raw)
	all["with a line break inside"] = s[:len(s)/2] + "\n" + s[len(s)/2:]
	if inside := stray(s); inside != "" {
		all["with stray bits"] = inside
	}
	return all
}

// stray sets a bit of the last character that encodes nothing.
func stray(s string) string {
	body := strings.TrimRight(s, "=")
	if body == s {
		return ""
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := strings.IndexByte(alphabet, body[len(body)-1])
	return body[:len(body)-1] + string(alphabet[last^1]) + s[len(body):]
}
