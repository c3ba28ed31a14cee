// SPDX-License-Identifier: Apache-2.0

package sign

import (
	"context"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/judge/verify"
)

// Step is a part of signing.
type Step string

// The steps, in their order.
const (
	StepCertificate Step = "certificate"
	StepSignature   Step = "signature"
	StepTimestamp   Step = "timestamp"
	StepLog         Step = "log"
	StepVerify      Step = "verify"
)

// Event says that a step begins, or with Done that it has ended.
type Event struct {
	Step Step
	URL  string // of the service; "" for local steps
	Done bool
	Err  error         // why it failed; only with Done
	Took time.Duration // only with Done
}

// Error is a step that failed. Later steps did not happen.
type Error struct {
	Step Step
	URL  string // of the service; "" for local steps
	Hint string // what to do; "" if nothing is known
	Err  error
}

// Error is one line.
func (e *Error) Error() string {
	msg := "signing failed at the " + string(e.Step)
	if e.URL != "" {
		msg += " (" + e.URL + ")"
	}
	msg += ": " + e.Err.Error()
	if e.Hint != "" {
		msg += ": " + e.Hint
	}
	return msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// content is what is signed.
type content interface {
	// sum is the digest that the signature is over, made with alg.
	sum(alg digest.Algorithm) digest.Digest
	// put adds the content and its signature to the bundle.
	put(b *bundle.Bundle, sig []byte)
	// artifact is what the finished bundle has to be about.
	artifact() verify.Artifact
}

type message struct{ digest digest.Digest }

func (m message) sum(digest.Algorithm) digest.Digest { return m.digest }

func (m message) put(b *bundle.Bundle, sig []byte) {
	b.Message = &bundle.MessageSignature{Digest: m.digest, Signature: sig}
}

func (m message) artifact() verify.Artifact {
	return verify.Artifact{Digests: []digest.Digest{m.digest}}
}

type envelope struct {
	digest   digest.Digest // of the subject
	envelope dsse.Envelope
}

func (e envelope) sum(alg digest.Algorithm) digest.Digest {
	return digest.Of(alg, e.envelope.PAE())
}

func (e envelope) put(b *bundle.Bundle, sig []byte) {
	signed := e.envelope
	signed.Signatures = []dsse.Signature{{Sig: sig}}
	b.Envelope = &signed
}

func (e envelope) artifact() verify.Artifact {
	return verify.Artifact{Digests: []digest.Digest{e.digest}}
}

// sign runs the steps.
func (s *Signer) sign(ctx context.Context, token Token, c content) (*Result, error) {
	if token == nil || token.Raw() == "" {
		return nil, errors.New("signing needs an identity token")
	}
	challenge, err := token.Challenge()
	if err != nil {
		return nil, err
	}
	key, err := newKey(s.cfg.Key)
	if err != nil {
		return nil, err
	}
	b := &bundle.Bundle{MediaType: bundle.MediaTypeV03, Version: bundle.V03}
	cert, err := s.certificate(ctx, token, key, challenge)
	if err != nil {
		return nil, err
	}
	b.Certificates = [][]byte{cert.Raw}

	// From here on something is signed; up to here nothing was.
	sum := c.sum(s.cfg.Key.Digest())
	var sig []byte
	err = s.step(StepSignature, "", func() (err error) {
		sig, err = signDigest(key, s.cfg.Key, sum)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.put(b, sig)
	for _, tsa := range s.tsas {
		token, err := s.timestamp(ctx, tsa.URL, sig, cert)
		if err != nil {
			return nil, err
		}
		b.Timestamps = append(b.Timestamps, token)
	}

	// From here on others can see it.
	entry := logentry.HashedRekord{Digest: sum, Signature: sig, Details: s.cfg.Key, Certificate: cert.Raw}
	for _, log := range s.logs {
		e, err := s.submit(ctx, log.URL, entry)
		if err != nil {
			return nil, err
		}
		b.Entries = append(b.Entries, e)
	}
	return s.check(b, c.artifact())
}

// check verifies the bundle as a stranger would, from the bytes to be stored.
func (s *Signer) check(b *bundle.Bundle, a verify.Artifact) (*Result, error) {
	var r Result
	err := s.step(StepVerify, "", func() (err error) {
		if r.JSON, err = b.Marshal(); err != nil {
			return err
		}
		if r.Bundle, err = bundle.Parse(r.JSON); err != nil {
			return err
		}
		r.Verified, err = verify.Check(r.Bundle, a, s.cfg.Root, s.policy)
		return err
	})
	if err == nil {
		return &r, nil
	}
	var failed *Error
	var why *verify.Error
	if errors.As(err, &failed) && errors.As(err, &why) {
		failed.Hint = "nothing was published, but the signature may be in the log"
		failed.Step, failed.URL = s.blame(why.Code)
	}
	return nil, err
}

// blame names the service whose answer a failed check is about.
func (s *Signer) blame(code verify.Code) (Step, string) {
	switch code {
	case verify.CodeLogEntryMismatch, verify.CodeLogWindow, verify.CodeCheckpoint, verify.CodeInclusionProof, verify.CodeCheckpointSignature, verify.CodeLogThreshold:
		return StepLog, s.logs[0].URL
	case verify.CodeTimestamp, verify.CodeTimestampWindow, verify.CodeTimestampThreshold, verify.CodeCertificateTime:
		return StepTimestamp, s.tsas[0].URL
	}
	return StepVerify, ""
}

// step runs f, tells about it, and makes its error an *Error.
func (s *Signer) step(step Step, url string, f func() error) error {
	s.tell(Event{Step: step, URL: url})
	started := time.Now()
	err := f()
	var known *Error
	if err != nil && !errors.As(err, &known) {
		err = &Error{Step: step, URL: url, Err: err}
	}
	s.tell(Event{Step: step, URL: url, Done: true, Err: err, Took: time.Since(started)})
	return err
}

func (s *Signer) tell(e Event) {
	if s.cfg.Progress != nil {
		s.cfg.Progress(e)
	}
}

// signDigest signs a digest that has been made with d's hash.
func signDigest(key crypto.Signer, d pubkey.Details, sum digest.Digest) ([]byte, error) {
	if sum.Algorithm().Hash() != d.Hash() {
		return nil, fmt.Errorf("a %s digest does not fit %s", sum.Algorithm(), d)
	}
	return key.Sign(rand.Reader, sum.Bytes(), d.Hash())
}
