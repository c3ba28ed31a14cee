// SPDX-License-Identifier: Apache-2.0

package sign

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"hallmark/internal/format/logentry"
	"hallmark/internal/format/rfc3161"
)

// timestamp has a signature timestamped and verifies the token, so that a bad
// one stops before the log.
func (s *Signer) timestamp(ctx context.Context, url string, sig []byte, cert *x509.Certificate) (der []byte, err error) {
	err = s.step(StepTimestamp, url, func() error {
		resp, err := s.http.Do(ctx, http.MethodPost, url,
			http.Header{"Content-Type": {"application/timestamp-query"}, "Accept": {"application/timestamp-reply"}}, rfc3161.NewRequest(sig))
		if err != nil {
			return unreachable(StepTimestamp, url, err)
		}
		if resp.Status != http.StatusOK && resp.Status != http.StatusCreated {
			return &Error{Step: StepTimestamp, URL: url, Hint: laterIf(resp.Status), Err: status(resp)}
		}
		der = resp.Body
		return s.checkTimestamp(url, der, sig, cert)
	})
	return der, err
}

// checkTimestamp verifies that an authority of the trusted root made the token
// over sig, while the authority and the certificate were valid.
func (s *Signer) checkTimestamp(url string, der, sig []byte, cert *x509.Certificate) error {
	token, err := rfc3161.ParseResponse(der)
	if err != nil {
		return err
	}
	why := errors.New("the trusted root names no timestamp authority")
	for _, tsa := range s.cfg.Root.TSAs {
		if why = token.Verify(sig, tsa.Chain); why != nil {
			continue
		}
		at := token.Time()
		switch {
		case !tsa.Valid.Contains(at):
			why = fmt.Errorf("its time %s is outside the window in which the trusted root trusts it", at.Format(time.RFC3339))
			continue
		case at.Before(cert.NotBefore) || at.After(cert.NotAfter):
			return fmt.Errorf("its time %s is outside the certificate's validity, %s to %s: the clocks of the two services disagree",
				at.Format(time.RFC3339), cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
		}
		return nil
	}
	return &Error{Step: StepTimestamp, URL: url, Hint: "the trusted root is not this authority's, or is out of date: refresh it with `hallmark trust refresh`; nothing was logged",
		Err: fmt.Errorf("no timestamp authority of the trusted root made the timestamp: %w", why)}
}

// submit adds an entry to a log and checks that the answer is about it. The
// log gives an entry it already has once more, so trying again is harmless.
// Proof and checkpoint are verified with the bundle.
func (s *Signer) submit(ctx context.Context, url string, entry logentry.HashedRekord) (e *logentry.Entry, err error) {
	err = s.step(StepLog, url, func() error {
		resp, err := s.http.Do(ctx, http.MethodPost, join(url, "/api/v2/log/entries"),
			http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}, entry.Request())
		if err != nil {
			return unreachable(StepLog, url, err)
		}
		switch {
		case resp.Status == http.StatusConflict:
			return &Error{Step: StepLog, URL: url, Hint: "the log has the entry but does not give it out; sign again", Err: status(resp)}
		case resp.Status != http.StatusCreated:
			return &Error{Step: StepLog, URL: url, Hint: laterIf(resp.Status), Err: status(resp)}
		}
		if e, err = logentry.Parse(resp.Body); err != nil {
			return fmt.Errorf("its entry is malformed: %w", err)
		}
		if !bytes.Equal(e.Body, entry.Body()) {
			return errors.New("its entry is not the one that was sent")
		}
		if s.cfg.Root.LogByID(e.LogID) == nil {
			return &Error{Step: StepLog, URL: url, Err: fmt.Errorf("its log ID %x is in no log of the trusted root", e.LogID),
				Hint: "the trusted root is not this log's, or is out of date: refresh it with `hallmark trust refresh`"}
		}
		return nil
	})
	return e, err
}

func laterIf(status int) string {
	if status == http.StatusTooManyRequests || status >= 500 {
		return "try again later"
	}
	return ""
}

// printable is the start of s on one line, without control characters.
func printable(s string, max int) string {
	if len(s) > max {
		s = s[:max] + "…"
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s))
}
