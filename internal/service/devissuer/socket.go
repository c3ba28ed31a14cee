// SPDX-License-Identifier: Apache-2.0

package devissuer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"

	"hallmark/internal/base/httpapi"
	"hallmark/internal/base/localsock"
)

// SocketPath is the path that [Issuer.SocketHandler] answers.
const SocketPath = "/dev-token"

// maxRequest is how many bytes of a [Request] are read; maxAnswer of a [Minted].
const (
	maxRequest = 32 << 10
	maxAnswer  = 256 << 10
)

// SocketHandler serves POST [SocketPath]: a [Request] in, a [Minted] out, both
// JSON. It asks for no credentials: serve it on a Unix socket of mode 0600 only.
func (i *Issuer) SocketHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+SocketPath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		body, ok := httpapi.ReadBody(w, r, maxRequest)
		if !ok {
			return
		}
		req, err := parseRequest(body)
		if err != nil {
			httpapi.Error(w, httpapi.InvalidArgument, "%v", err)
			return
		}
		minted, err := i.Mint(req)
		if err != nil {
			httpapi.Error(w, httpapi.InvalidArgument, "%v", err)
			return
		}
		httpapi.WriteJSON(w, http.StatusOK, minted)
	})
	return mux
}

func parseRequest(body []byte) (Request, error) {
	var req Request
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(&req); err != nil {
		return req, fmt.Errorf("the request is not the expected JSON object: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return req, errors.New("the request is more than one JSON object")
	}
	return req, nil
}

// DialMint sends req to the development issuer whose daemon serves the Unix
// socket at socketPath.
func DialMint(ctx context.Context, socketPath string, req Request) (Minted, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return Minted{}, fmt.Errorf("development token request: %w", err)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return localsock.Dial(ctx, socketPath)
		},
		DisableKeepAlives: true,
	}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	hreq, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://hallmarkd"+SocketPath, bytes.NewReader(body))
	if err != nil {
		return Minted{}, fmt.Errorf("development token request: %w", err)
	}
	hreq.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(hreq)
	if err != nil {
		return Minted{}, dialError(socketPath, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Minted{}, fmt.Errorf("socket %s: answer cut short: %w", socketPath, err)
	}
	return parseAnswer(socketPath, resp.StatusCode, data)
}

func parseAnswer(socketPath string, status int, data []byte) (Minted, error) {
	if status == http.StatusNotFound {
		return Minted{}, fmt.Errorf("socket %s: this hallmarkd has no development issuer; start it with --dev-issuer", socketPath)
	}
	if status != http.StatusOK {
		var refusal struct{ Message string }
		if json.Unmarshal(data, &refusal) != nil || refusal.Message == "" {
			refusal.Message = http.StatusText(status)
		}
		return Minted{}, fmt.Errorf("hallmarkd refused to mint a token: %s", refusal.Message)
	}
	var minted Minted
	if err := json.Unmarshal(data, &minted); err != nil || minted.IDToken == "" && minted.LoginCode == "" {
		return Minted{}, fmt.Errorf("socket %s: expected a token or a login code in the answer; is this hallmarkd's socket?", socketPath)
	}
	return minted, nil
}

func dialError(socketPath string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("socket %s does not exist; start hallmarkd serve --dev-issuer, or name its data directory", socketPath)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody serves socket %s; start hallmarkd serve --dev-issuer", socketPath)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("socket %s belongs to another user; only the user who runs hallmarkd may mint development tokens", socketPath)
	}
	return fmt.Errorf("socket %s: %w", socketPath, err)
}
