// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Authority is a running "hallmarkd serve --dev-issuer".
type Authority struct {
	URL  string // as it prints it
	Data string

	// The two command lines that it prints for clients, as words.
	HallmarkTrust, CosignInitialize []string

	programs Programs
	server   *server
}

// StartAuthority starts hallmarkd on a free port with its data in dir/data.
// It makes dir.
func (p Programs) StartAuthority(ctx context.Context, dir string, args ...string) (*Authority, error) {
	a := &Authority{Data: filepath.Join(dir, "data"), programs: p}
	argv := append([]string{Hallmarkd, "serve", "--dev-issuer", "--listen", "127.0.0.1:0", "--data", a.Data}, args...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	var err error
	a.server, err = start(ctx, p.command(ctx, dir, argv...), filepath.Join(dir, "hallmarkd.out"), a.announced)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// announced reads what hallmarkd prints when it serves, and says whether it is
// all there. Users copy these lines, so they are taken as they are.
func (a *Authority) announced(printed string) bool {
	if words := commandLine(printed, "Hallmark serves "); len(words) == 3 {
		a.URL = words[2]
	}
	a.HallmarkTrust = commandLine(printed, "hallmark trust init ")
	a.CosignInitialize = commandLine(printed, "cosign initialize ")
	return a.URL != "" && a.HallmarkTrust != nil && a.CosignInitialize != nil
}

// Issuer is the URL of its development issuer.
func (a *Authority) Issuer() string { return a.URL + "/dev-issuer" }

// Token mints an identity token; args say whose.
func (a *Authority) Token(ctx context.Context, args ...string) (string, error) {
	argv := append([]string{Hallmarkd, "dev-token", "--data", a.Data}, args...)
	out, err := a.programs.command(ctx, filepath.Dir(a.Data), argv...).Output()
	if err != nil {
		return "", fmt.Errorf("hallmarkd dev-token: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// Client makes a client with its home in dir, which it makes, that trusts the
// authority with both programs, by running the lines that it printed.
func (a *Authority) Client(ctx context.Context, dir string) (Client, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Client{}, err
	}
	c := Client{Programs: a.programs, Home: dir}
	for _, line := range [][]string{a.HallmarkTrust, a.CosignInitialize} {
		if _, err := c.Must(ctx, line...); err != nil {
			return Client{}, err
		}
	}
	return c, nil
}

// Stop ends it gracefully; an error says that it did not end.
func (a *Authority) Stop() error { return a.server.stop() }

// CPU is the processor time that it took, once it is stopped.
func (a *Authority) CPU() time.Duration { return a.server.cpu() }
