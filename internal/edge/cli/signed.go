// SPDX-License-Identifier: Apache-2.0

package cli

import "fmt"

// signSchema names the JSON form below. Fields are only ever added to it.
const signSchema = "hallmark/sign/v1" // sign, sign-blob

// signedArtifact is what now exists: an element of "signed" in the JSON output.
type signedArtifact struct {
	Reference string     `json:"reference"`        // image@digest, or the file
	Digest    string     `json:"digest"`           // what was signed
	Bundle    string     `json:"bundle,omitempty"` // file
	Signature *signature `json:"signature"`
}

// text says it to people, in the words of verification.
func (s signedArtifact) text(a *app, with *session) {
	if a.quiet {
		return
	}
	c := a.colours()
	fmt.Fprintf(a.Out, "Signed %s\n", printable(s.Reference))
	s.Signature.text(a, c)
	a.row(c, "trust", describeTrust(with.active, a.Now()))
	a.row(c, "bundle", s.Bundle)
}

// printSigned says it to programs, if they asked.
func (o *outputFlags) printSigned(a *app, with *session, signed []signedArtifact) error {
	if o.format != "json" {
		return nil
	}
	return a.printJSON(struct {
		Schema string           `json:"schema"`
		Trust  trustNote        `json:"trust"`
		Signed []signedArtifact `json:"signed"`
	}{signSchema, noteOf(with.active), signed})
}
