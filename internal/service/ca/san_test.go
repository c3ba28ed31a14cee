// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"testing"

	"hallmark/internal/format/certext"
)

func TestCheckSAN(t *testing.T) {
	type san = certext.SAN
	for _, good := range []san{
		{Kind: certext.Email, Value: "a@b"},
		{Kind: certext.Email, Value: "first.last+tag@mail.example.com"},
		{Kind: certext.Email, Value: "o'brien@example.com"},
		{Kind: certext.Email, Value: "robot@project.iam.gserviceaccount.com"},
		{Kind: certext.URI, Value: "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main"},
		{Kind: certext.URI, Value: "https://kubernetes.io/namespaces/ns/serviceaccounts/sa"},
		{Kind: certext.URI, Value: "http://127.0.0.1:8080/x"},
		{Kind: certext.URI, Value: "http://[::1]:8080/x"},
		{Kind: certext.URI, Value: "https://localhost"},
		{Kind: certext.URI, Value: "spiffe://trust-domain/workload"},
		{Kind: certext.OtherName, Value: "bob!example.com"},
		{Kind: certext.OtherName, Value: "böb!example.com"},
	} {
		if err := checkSAN(good); err != nil {
			t.Errorf("%v %q: %v", good.Kind, good.Value, err)
		}
	}
	for _, bad := range []san{
		{},
		{Kind: certext.Email},
		{Kind: certext.Email, Value: "alice"},
		{Kind: certext.Email, Value: "@example.com"},
		{Kind: certext.Email, Value: "alice@"},
		{Kind: certext.Email, Value: "alice@example.com\x00.evil.com"},
		{Kind: certext.Email, Value: "alice@example.com "},
		{Kind: certext.Email, Value: "alice@b@example.com"},
		{Kind: certext.Email, Value: "Alice <alice@example.com>"},
		{Kind: certext.Email, Value: "<alice@example.com>"},
		{Kind: certext.Email, Value: `"alice b"@example.com`},
		{Kind: certext.Email, Value: "alice@[127.0.0.1]"},
		{Kind: certext.Email, Value: "alice@exämple.com"},
		{Kind: certext.Email, Value: "alice@.example.com"},
		{Kind: certext.Email, Value: "alice@example.com."},
		{Kind: certext.Email, Value: "alice(x)@example.com"},
		{Kind: certext.Email, Value: "a,b@example.com"},
		{Kind: certext.URI, Value: "github.com/o/r"},
		{Kind: certext.URI, Value: "/o/r"},
		{Kind: certext.URI, Value: "https://"},
		{Kind: certext.URI, Value: "https:///path"},
		{Kind: certext.URI, Value: "mailto:a@b"},
		{Kind: certext.URI, Value: "https://user:pw@host/x"},
		{Kind: certext.URI, Value: "https://ho st/x"},
		{Kind: certext.URI, Value: "https://host/a b"},
		{Kind: certext.URI, Value: "https://host/a\nb"},
		{Kind: certext.URI, Value: "https://host/ä"},
		{Kind: certext.URI, Value: "https://a..b/x"},
		{Kind: certext.OtherName, Value: "!example.com"},
		{Kind: certext.OtherName, Value: "bob!"},
		{Kind: certext.OtherName, Value: "bob@example.com!example.com"},
		{Kind: certext.OtherName, Value: "bob\n!example.com"},
		{Kind: certext.OtherName, Value: "b\xff!example.com"},
		{Kind: certext.DNS, Value: "example.com"},
	} {
		if err := checkSAN(bad); err == nil {
			t.Errorf("%v %q: accepted", bad.Kind, bad.Value)
		}
	}
}
