// SPDX-License-Identifier: Apache-2.0

package dsse

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dssepb "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"google.golang.org/protobuf/encoding/protojson"
)

func TestPAE(t *testing.T) {
	for _, tt := range []struct{ payloadType, payload, want string }{
		// The example of protocol.md.
		{"http://example.com/HelloWorld", "hello world", "DSSEv1 29 http://example.com/HelloWorld 11 hello world"},
		{"", "", "DSSEv1 0  0 "},
		{"é", "\x00\xff", "DSSEv1 2 é 2 \x00\xff"}, // lengths in bytes
	} {
		if got := string(PAE(tt.payloadType, []byte(tt.payload))); got != tt.want {
			t.Errorf("PAE(%q, %q) = %q: want %q", tt.payloadType, tt.payload, got, tt.want)
		}
	}
	e := &Envelope{PayloadType: "t", Payload: []byte("p")}
	if got := string(e.PAE()); got != "DSSEv1 1 t 1 p" {
		t.Errorf("PAE is %q", got)
	}
}

func TestParse(t *testing.T) {
	want := &Envelope{
		PayloadType: "application/vnd.in-toto+json",
		Payload:     []byte("\xfb\xff{}"),
		Signatures:  []Signature{{KeyID: "k", Sig: []byte("\xfb\xff")}, {Sig: []byte("b")}},
	}
	for name, in := range map[string]string{
		"standard": `{"payloadType":"application/vnd.in-toto+json","payload":"+/97fQ==","signatures":[{"keyid":"k","sig":"+/8="},{"keyid":"","sig":"Yg=="}]}`,
		"URL alphabet, no padding, other order": `{"signatures":[{"sig":"-_8","keyid":"k"},{"sig":"Yg"}],
			"payload":"-_97fQ", "payloadType":"application/vnd.in-toto+json"}`,
		"unknown fields":       `{"x":{"sig":[]},"payloadType":"application/vnd.in-toto+json","payload":"+/97fQ==","signatures":[{"cert":"c","keyid":"k","sig":"+/8="},{"keyid":null,"sig":"Yg=="}]}`,
		"escapes, as PHP does": `{"payloadType":"application\/vnd.in-toto+json","payload":"+\/97fQ==","signatures":[{"keyid":"k","sig":"+\/8="},{"sig":"Yg=="}]}`,
	} {
		got, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const good = `{"payloadType":"t","payload":"QQ==","signatures":[{"sig":"QQ=="}]}`
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	many := strings.Repeat(`{"sig":"QQ=="},`, MaxSignatures) + `{"sig":"QQ=="}`
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":                 {``, "unexpected end"},
		"array":                   {`[]`, "expected an object"},
		"trailing data":           {good + good, "after the end"},
		"no type":                 {replace(`"payloadType":"t",`, ``), "payloadType: missing"},
		"empty type":              {replace(`"t"`, `""`), "payloadType is empty"},
		"null type":               {replace(`"t"`, `null`), "payloadType: missing"},
		"type in another case":    {replace(`payloadType`, `PayloadType`), `must be written "payloadType"`},
		"type twice":              {replace(`{`, `{"payloadType":"u",`), "occurs twice"},
		"type in two cases":       {replace(`{`, `{"PAYLOADTYPE":"u",`), `must be written "payloadType"`},
		"snake case is no alias":  {replace(`payloadType`, `payload_type`), "payloadType: missing"},
		"long type":               {replace(`"t"`, `"`+strings.Repeat("t", MaxPayloadType+1)+`"`), "payloadType is longer"},
		"no payload":              {replace(`"payload":"QQ==",`, ``), "payload: missing"},
		"payload no base64":       {replace(`"QQ=="`, `"Q!"`), "payload: string is not base64"},
		"payload with line break": {replace(`"QQ=="`, `"QQ==\n"`), "payload: string is not base64"},
		"payload an object":       {replace(`"QQ=="`, `{}`), "payload: expected a string"},
		"no signatures":           {replace(`[{"sig":"QQ=="}]`, `[]`), "at least one"},
		"null signatures":         {replace(`[{"sig":"QQ=="}]`, `null`), "signatures: missing"},
		"too many signatures":     {replace(`{"sig":"QQ=="}`, many), "more than 64"},
		"null signature":          {replace(`{"sig":"QQ=="}`, `null`), "signatures[0]: missing"},
		"no sig":                  {replace(`{"sig":"QQ=="}`, `{}`), "signatures[0].sig: missing"},
		"empty sig":               {replace(`{"sig":"QQ=="}`, `{"sig":""}`), "signatures[0].sig is empty"},
		"sig in another case":     {replace(`{"sig"`, `{"SIG"`), `must be written "sig"`},
		"long sig":                {replace(`{"sig":"QQ=="}`, `{"sig":"`+strings.Repeat("QUFB", MaxSignature/3+1)+`"}`), "sig is longer"},
		"long keyid":              {replace(`{"sig"`, `{"keyid":"`+strings.Repeat("k", MaxKeyID+1)+`","sig"`), "keyid is longer"},
		"keyid a number":          {replace(`{"sig"`, `{"keyid":5,"sig"`), "signatures[0].keyid: expected a string"},
	} {
		if _, err := Parse([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v: want one with %q", name, err, tt.want)
		}
	}
	for i := range good {
		if _, err := Parse([]byte(good[:i])); err == nil {
			t.Errorf("accepted the first %d bytes", i)
		}
	}
}

func TestParseCapsSize(t *testing.T) {
	if _, err := Parse(make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("document: %v", err)
	}
	e := &Envelope{PayloadType: "t", Payload: make([]byte, MaxPayload+1), Signatures: []Signature{{Sig: []byte("s")}}}
	if err := e.Validate(); err == nil || !strings.Contains(err.Error(), "payload is larger") {
		t.Errorf("payload: %v", err)
	}
	e.Payload = nil
	e.Signatures = make([]Signature, MaxSignatures+1)
	if err := e.Validate(); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("signatures: %v", err)
	}
}

func TestMarshal(t *testing.T) {
	e := &Envelope{PayloadType: "a<\"b", Payload: []byte("p"), Signatures: []Signature{{KeyID: "k\n", Sig: []byte("s")}, {Sig: []byte("t")}}}
	got, err := e.MarshalJSON()
	want := `{"payload":"cA==","payloadType":"a<\"b","signatures":[{"sig":"cw==","keyid":"k\n"},{"sig":"dA=="}]}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	viaJSON, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{got, viaJSON} {
		back, err := Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"k","sig":"QQ=="}]}`,
		`{"payloadType":"t","payload":"-_8","signatures":[{"sig":"-_8"},{"sig":"Yg"}]}`,
		`{"payloadType":"t","payload":"QQ==","signatures":[{"sig":"QQ=="}],"x":1}`,
		`{"payloadType":"t","PayloadType":"u","payload":"","signatures":[]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Parse(data)
		if err != nil {
			return
		}
		out, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(out)
		if err != nil || !cmp.Equal(e, back) {
			t.Fatalf("%s does not come back: %v", out, err)
		}
		// Whatever Parse accepts, protojson reads as the same envelope.
		pb := new(dssepb.Envelope)
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, pb); err != nil {
			t.Fatalf("protojson: %v", err)
		}
		same := pb.PayloadType == e.PayloadType && bytes.Equal(pb.Payload, e.Payload) && len(pb.Signatures) == len(e.Signatures)
		for i := 0; same && i < len(e.Signatures); i++ {
			same = pb.Signatures[i].GetKeyid() == e.Signatures[i].KeyID && bytes.Equal(pb.Signatures[i].GetSig(), e.Signatures[i].Sig)
		}
		if !same {
			t.Fatalf("protojson reads %v, not %v", pb, e)
		}
	})
}
