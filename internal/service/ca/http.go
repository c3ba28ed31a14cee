// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"

	"hallmark/internal/base/httpapi"
	"hallmark/internal/format/certext"
)

const pemChain = "application/pem-certificate-chain"

// Handler serves, each under its full path:
//
//	POST /api/v2/signingCert    200, JSON
//	GET  /api/v2/trustBundle    200, JSON
//	GET  /api/v2/configuration  200, JSON
//	POST /api/v1/signingCert    201, PEM chain
//	GET  /api/v1/rootCert       200, PEM chain
//
// Errors are grpc-gateway's JSON: 401 for a missing token, 400 for whatever the
// client can mend, 413 for a body over 64 KiB, 503 when the CT log, a token
// issuer or the chain does not serve now, 500 for faults of ours. Bodies are
// taken as JSON whatever their Content-Type says. Unlike upstream it sends no
// CORS headers: nothing in a browser calls this API.
func (c *CA) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/v2/signingCert", only(http.MethodPost, c.serveV2))
	mux.Handle("/api/v1/signingCert", only(http.MethodPost, c.serveV1))
	mux.Handle("/api/v2/trustBundle", only(http.MethodGet, c.trustBundle()))
	mux.Handle("/api/v2/configuration", only(http.MethodGet, c.configuration))
	mux.Handle("/api/v1/rootCert", only(http.MethodGet, c.rootCert()))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		httpapi.Error(w, httpapi.NotFound, "Not Found")
	})
	return mux
}

// only answers other methods in grpc-gateway's way, with an Allow header added.
func only(method string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
			h(w, r)
			return
		}
		w.Header().Set("Allow", method)
		httpapi.Error(w, httpapi.Unimplemented, "method not allowed here: expected %s", method)
	})
}

type certificateChain struct {
	Certificates []string `json:"certificates"`
}

type embeddedSCT struct {
	Chain certificateChain `json:"chain"`
}

func (c *CA) serveV2(w http.ResponseWriter, r *http.Request) {
	leaf, ok := c.serve(w, r, parseV2)
	if !ok {
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, struct {
		Signed embeddedSCT `json:"signedCertificateEmbeddedSct"`
	}{embeddedSCT{certificateChain{append([]string{certificatePEM(leaf.der)}, c.chainPEM...)}}})
}

// serveV1 has no SCT header, which is for detached SCTs only.
func (c *CA) serveV1(w http.ResponseWriter, r *http.Request) {
	leaf, ok := c.serve(w, r, parseV1)
	if !ok {
		return
	}
	httpapi.WriteBody(w, http.StatusCreated, pemChain, []byte(certificatePEM(leaf.der)+strings.Join(c.chainPEM, "")))
}

// serve takes one request from its body to a certificate, or answers why not.
func (c *CA) serve(w http.ResponseWriter, r *http.Request, parse func([]byte) (*signingRequest, error)) (*issued, bool) {
	w.Header().Set("Cache-Control", "no-store")
	body, ok := httpapi.ReadBody(w, r, maxBody)
	if !ok {
		c.metrics.refused.WithLabelValues(string(badBody)).Inc()
		return nil, false
	}
	principal, pub, err := c.admit(r.Context(), r.Header, body, parse)
	if err != nil {
		c.refused(w, r, principal, err)
		return nil, false
	}
	leaf, err := c.issue(r.Context(), principal, pub)
	if err != nil {
		c.refused(w, r, principal, err)
		return nil, false
	}
	c.metrics.issued.WithLabelValues(string(leaf.details)).Inc()
	c.deps.Log.InfoContext(r.Context(), "certificate issued",
		"san", principal.SAN.Value, "san_kind", principal.SAN.Kind.String(),
		"issuer", principal.Extensions.IssuerURL(),
		"serial", leaf.serial.Text(16), "key", string(leaf.details), "not_after", stamp(leaf.until))
	return leaf, true
}

// admit finds out who asks and for which key, and that they hold it. The
// principal is returned with later errors too, for the log.
func (c *CA) admit(ctx context.Context, h http.Header, body []byte, parse func([]byte) (*signingRequest, error)) (certext.Principal, crypto.PublicKey, error) {
	var nobody certext.Principal
	req, err := parse(body)
	if err != nil {
		return nobody, nil, refuse(malformed, "%w", err)
	}
	token, err := req.tokenWith(h)
	if err != nil {
		return nobody, nil, err
	}
	principal, err := c.authenticate(ctx, token)
	if err != nil {
		return nobody, nil, err
	}
	pub, err := req.keyOf()
	if err != nil {
		return principal, nil, err
	}
	if req.csr == nil {
		if err := possession(pub, req.proof, principal.Challenge); err != nil {
			return principal, nil, err
		}
	}
	return principal, pub, nil
}

// authenticate asks the Authenticator and sorts its errors.
func (c *CA) authenticate(ctx context.Context, token string) (certext.Principal, error) {
	p, err := c.deps.Auth.Authenticate(ctx, token)
	if err == nil {
		if p.Challenge == "" {
			return certext.Principal{}, errors.New("the authenticator gave no challenge")
		}
		return p, nil
	}
	var te TokenError
	switch {
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return certext.Principal{}, refuse(clientGone, "the request was abandoned").because(err)
	case !errors.As(err, &te):
		return certext.Principal{}, err
	case te.Temporary():
		return certext.Principal{}, refuse(tokenCheck, "%s", te.Error()).because(errors.Unwrap(te))
	}
	return certext.Principal{}, refuse(badToken, "%s", te.Error())
}

// refused answers with err and records it.
func (c *CA) refused(w http.ResponseWriter, r *http.Request, p certext.Principal, err error) {
	refusal := asRefusal(err)
	c.metrics.refused.WithLabelValues(string(refusal.category)).Inc()
	code := refusal.category.code()
	record := c.deps.Log.InfoContext
	if code == httpapi.Internal || code == httpapi.Unavailable && refusal.category != clientGone {
		record = c.deps.Log.ErrorContext
	}
	record(r.Context(), "certificate refused",
		"reason", string(refusal.category), "san", p.SAN.Value, "issuer", p.Extensions.IssuerURL(), "error", refusal.Error())
	if code == httpapi.Unauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	httpapi.Error(w, code, "%s", refusal.text)
}

func (c *CA) trustBundle() http.HandlerFunc {
	bundle := struct {
		Chains []certificateChain `json:"chains"`
	}{[]certificateChain{{slices.Clone(c.chainPEM)}}}
	for _, chain := range c.deps.Trusted {
		if slices.EqualFunc(chain, c.deps.Chain, (*x509.Certificate).Equal) {
			continue // it is first already
		}
		var other certificateChain
		for _, cert := range chain {
			other.Certificates = append(other.Certificates, certificatePEM(cert.Raw))
		}
		bundle.Chains = append(bundle.Chains, other)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		httpapi.WriteJSON(w, http.StatusOK, bundle)
	}
}

func (c *CA) rootCert() http.HandlerFunc {
	chain := []byte(strings.Join(c.chainPEM, ""))
	return func(w http.ResponseWriter, _ *http.Request) {
		httpapi.WriteBody(w, http.StatusOK, pemChain, chain)
	}
}

// issuerInfo is dev.sigstore.fulcio.v2.OIDCIssuer as grpc-gateway writes it:
// all fields but the unset half of the oneof.
type issuerInfo struct {
	IssuerURL             string `json:"issuerUrl,omitempty"`
	WildcardIssuerURL     string `json:"wildcardIssuerUrl,omitempty"`
	Audience              string `json:"audience"`
	ChallengeClaim        string `json:"challengeClaim"`
	SPIFFETrustDomain     string `json:"spiffeTrustDomain"`
	IssuerType            string `json:"issuerType"`
	SubjectDomain         string `json:"subjectDomain"`
	SkipEmailVerification bool   `json:"skipEmailVerification"`
}

func (c *CA) configuration(w http.ResponseWriter, _ *http.Request) {
	issuers := []issuerInfo{}
	for _, i := range c.deps.Auth.Issuers() {
		issuers = append(issuers, issuerInfo(i))
	}
	httpapi.WriteJSON(w, http.StatusOK, struct {
		Issuers []issuerInfo `json:"issuers"`
	}{issuers})
}
