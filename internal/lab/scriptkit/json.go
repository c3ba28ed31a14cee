// SPDX-License-Identifier: Apache-2.0

package scriptkit

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/rogpeppe/go-internal/testscript"

	"hallmark/internal/base/keyring"
)

func field(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: field FILE PATH [VALUE]")
	}
	var doc any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &doc))
	v, found := at(doc, args[1])
	ok := found
	if found && len(args) == 3 {
		pattern, err := regexp.Compile("^(?:" + args[2] + ")$")
		ts.Check(err)
		ok = pattern.MatchString(textOf(v))
	}
	if ok == neg {
		ts.Fatalf("%s of %s is %s (found: %v)", args[1], args[0], textOf(v), found)
	}
}

// at follows a path of names and indices; "#" is the length of a list.
func at(doc any, path string) (any, bool) {
	for step := range strings.SplitSeq(path, ".") {
		switch v := doc.(type) {
		case map[string]any:
			next, ok := v[step]
			if !ok {
				return nil, false
			}
			doc = next
		case []any:
			if step == "#" {
				return float64(len(v)), true
			}
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			doc = v[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

func tamper(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "tamper FILE PATH")
	edit(ts, args[0], func(data []byte) []byte {
		var doc any
		ts.Check(json.Unmarshal(data, &doc))
		v, _ := at(doc, args[1])
		old, _ := v.(string)
		raw, err := base64.StdEncoding.DecodeString(old)
		if err != nil || len(raw) == 0 {
			ts.Fatalf("%s is not base64: %q", args[1], old)
		}
		raw[len(raw)/2] ^= 1
		return []byte(strings.Replace(string(data), old, base64.StdEncoding.EncodeToString(raw), 1))
	})
}

func resign(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3, "resign NAME DATA CLAIM=VALUE...")
	parts := strings.Split(ts.Getenv(args[0]), ".")
	if len(parts) != 3 {
		ts.Fatalf("%s is not a token", args[0])
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	ts.Check(err)
	var claims map[string]any
	ts.Check(json.Unmarshal(payload, &claims))
	for _, change := range args[2:] {
		name, value, _ := strings.Cut(change, "=")
		if by, err := time.ParseDuration(value); err == nil {
			claims[name] = time.Now().Add(by).Unix()
		} else {
			claims[name] = value
		}
	}
	key, err := keyring.Load(filepath.Join(ts.MkAbs(args[1]), "instance", "keys", "dev-issuer.pem"))
	ts.Check(err)
	token, err := signToken(key.(*rsa.PrivateKey), claims)
	ts.Check(err)
	ts.Setenv(args[0], token)
}

func signToken(key *rsa.PrivateKey, claims map[string]any) (string, error) {
	kid, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", err
	}
	header, err := json.Marshal(map[string]string{"alg": "RS256", "typ": "JWT", "kid": base64.RawURLEncoding.EncodeToString(kid)})
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(sig), err
}
