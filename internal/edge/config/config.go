// SPDX-License-Identifier: Apache-2.0

// Package config decodes the configuration files that people write, strictly.
//
// The language is YAML 1.2 (https://yaml.org/spec/1.2.2/), of which JSON is a
// part. The types belong to the packages that act on them; this package only
// fills them in.
//
// Invariants: an unknown key, a key given twice, a value of the wrong type or a
// second document is an error that names the file and the line; nothing is
// decoded into the target unless everything is right.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the largest file that is read, in bytes.
const MaxSize = 1 << 20

// ReadFile decodes the file at path into a copy of *into, and stores it there
// when all of it is right. into must point to a struct.
func ReadFile(path string, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("configuration file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	return Decode(path, data, into)
}

// Decode is [ReadFile] for data that was read from name.
func Decode(name string, data []byte, into any) error {
	if len(data) > MaxSize {
		return fmt.Errorf("%s: the file is larger than the limit of %d bytes", name, MaxSize)
	}
	target := reflect.ValueOf(into).Elem()
	fresh := reflect.New(target.Type())
	fresh.Elem().Set(target)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(fresh.Interface()); err != nil && !errors.Is(err, io.EOF) { // EOF: an empty file sets nothing
		return describe(name, err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return describe(name, err)
		}
		return fmt.Errorf("%s:%d: a second YAML document: expected one", name, second.Line)
	}
	target.Set(fresh.Elem())
	return nil
}

var (
	atLine    = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknown   = regexp.MustCompile(`^field (\S+) not found in type .+$`)
	twice     = regexp.MustCompile(`^mapping key "?([^"]+)"? already defined at line (\d+)$`)
	wrongType = regexp.MustCompile("^cannot unmarshal !!(\\S+)(?: `(.*)`)? into (\\S+)$")
)

// describe rewrites the decoder's errors as "file:line: what is wrong".
func describe(name string, err error) error {
	var lines []string
	var many *yaml.TypeError
	if errors.As(err, &many) {
		lines = many.Errors
	} else {
		lines = []string{err.Error()}
	}
	for i, l := range lines {
		where, what := name, strings.TrimPrefix(l, "yaml: ")
		if m := atLine.FindStringSubmatch(l); m != nil {
			where, what = name+":"+m[1], m[2]
		}
		if m := unknown.FindStringSubmatch(what); m != nil {
			what = fmt.Sprintf("unknown key %q", m[1])
		} else if m := twice.FindStringSubmatch(what); m != nil {
			what = fmt.Sprintf("key %q is given twice, first on line %s", m[1], m[2])
		} else if m := wrongType.FindStringSubmatch(what); m != nil {
			what = fmt.Sprintf("expected a value of type %s, found %s %q", m[3], m[1], m[2])
		}
		lines[i] = where + ": " + what
	}
	return errors.New(strings.Join(lines, "\n"))
}
