// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/trustreview"
	"hallmark/internal/service/trust"
)

// inspectSchema names the JSON form of trustReport. Fields are only ever added.
const inspectSchema = "hallmark/trust-inspect/v1" // trust inspect

// trustReport is everything about one trust root.
type trustReport struct {
	Schema   string         `json:"schema"`
	Root     trustRow       `json:"trustRoot"`
	TUF      []tufRow       `json:"tuf"`
	Trusted  []trustedRow   `json:"trusted"`
	Services []serviceRow   `json:"services"` // where it says to sign
	Findings []trustFinding `json:"findings"`

	active  *trust.Active
	entries []trustreview.Entry
}

type tufRow struct {
	Role    string    `json:"role"`
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
}

// trustedRow is one authority or log.
type trustedRow struct {
	Role         trustreview.Role `json:"role"` // ca, log, ct-log or tsa
	Field        string           `json:"field"`
	URL          string           `json:"url,omitempty"`
	Origin       string           `json:"origin,omitempty"`
	ID           string           `json:"id,omitempty"` // hexadecimal
	KeyDetails   string           `json:"keyDetails,omitempty"`
	KeySHA256    string           `json:"keySHA256,omitempty"`
	Start        *time.Time       `json:"start,omitempty"`
	End          *time.Time       `json:"end,omitempty"`
	Now          bool             `json:"now"` // the window is open
	Certificates []certificateRow `json:"certificates,omitempty"`
}

type certificateRow struct {
	Subject    string    `json:"subject"`
	SHA256     string    `json:"sha256"`
	KeyDetails string    `json:"keyDetails"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
}

type serviceRow struct {
	Role       trustreview.Role `json:"role"`
	URL        string           `json:"url"`
	APIVersion uint32           `json:"apiVersion"`
	Operator   string           `json:"operator,omitempty"`
	Start      *time.Time       `json:"start,omitempty"`
	End        *time.Time       `json:"end,omitempty"`
}

type trustFinding struct {
	Severity string           `json:"severity"` // warning or note
	Code     trustreview.Code `json:"code"`
	Field    string           `json:"field"`
	Message  string           `json:"message"`
}

// trustOf loads the trust root that a command's argument means: a file if it
// has a slash or ends in .json, else a name; "" is the default one.
func (a *app) trustOf(arg string) (*trust.Active, trust.Info, []trust.Role, error) {
	if strings.ContainsAny(arg, `/\`) || strings.HasSuffix(arg, ".json") {
		active, err := loadTrustFile(arg)
		if err != nil {
			return nil, trust.Info{}, nil, err
		}
		return active, trust.Info{Name: arg, Kind: trust.KindStatic}, nil, nil
	}
	store, err := a.trustStore()
	if err != nil {
		return nil, trust.Info{}, nil, err
	}
	info, err := store.Show(arg)
	if errors.Is(err, trust.ErrNotFound) {
		if _, serr := os.Stat(arg); !errors.Is(serr, fs.ErrNotExist) {
			err = fmt.Errorf("%w; for the file of that name, write ./%s", err, arg)
		}
	}
	if err != nil {
		return nil, trust.Info{}, nil, err
	}
	active, err := store.Load(info.Name)
	if err != nil {
		return nil, trust.Info{}, nil, err
	}
	roles, err := store.Roles(info.Name)
	return active, info, roles, err
}

// loadTrustFile reads a trusted_root.json or a client trust config.
func loadTrustFile(path string) (*trust.Active, error) {
	data, err := readFile(path, maxTrustFile)
	if err != nil {
		return nil, err
	}
	active, err := trust.ParseFile(path, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return active, nil
}

// reportTrust describes the trust root that arg means.
func (a *app) reportTrust(arg string) (*trustReport, error) {
	active, info, roles, err := a.trustOf(arg)
	if err != nil {
		return nil, err
	}
	r := &trustReport{Schema: inspectSchema, Root: rowOf(info, ""), TUF: []tufRow{}, Trusted: []trustedRow{}, Services: []serviceRow{}, Findings: []trustFinding{},
		active: active, entries: trustreview.Entries(active.Root)}
	r.Root.Default = info.Default
	var tuf []trustreview.TUFRole
	for _, role := range roles {
		r.TUF = append(r.TUF, tufRow{role.Name, role.Version, role.Expires})
		tuf = append(tuf, trustreview.TUFRole{Name: role.Name, Expires: role.Expires})
	}
	for _, e := range r.entries {
		r.Trusted = append(r.Trusted, trustedRowOf(e, a.Now()))
	}
	for _, s := range trustreview.Services(active.SigningConfig) {
		row := serviceRow{Role: s.Role, URL: s.URL, APIVersion: s.APIVersion, Operator: s.Operator}
		row.Start, row.End = bounds(s.Valid)
		r.Services = append(r.Services, row)
	}
	for _, f := range trustreview.Review(active.Root, tuf, a.Now()) {
		r.Findings = append(r.Findings, findingOf(f))
	}
	return r, nil
}

func findingOf(f trustreview.Finding) trustFinding {
	severity := "warning"
	if f.Note {
		severity = "note"
	}
	return trustFinding{severity, f.Code, f.Field, f.Message}
}

func trustedRowOf(e trustreview.Entry, now time.Time) trustedRow {
	row := trustedRow{Role: e.Role, Field: e.Field, URL: e.URL, Origin: e.Origin, ID: hex.EncodeToString(e.ID),
		KeyDetails: string(e.Details), KeySHA256: e.Key, Now: e.Valid.Contains(now)}
	row.Start, row.End = bounds(e.Valid)
	for _, c := range e.Chain {
		sum := sha256.Sum256(c.Raw)
		row.Certificates = append(row.Certificates, certificateRow{Subject: certName(c), SHA256: hex.EncodeToString(sum[:]),
			KeyDetails: keyDetails(c), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC()})
	}
	return row
}

func bounds(w trustroot.Window) (start, end *time.Time) {
	if !w.Start.IsZero() {
		t := w.Start.UTC()
		start = &t
	}
	if !w.End.IsZero() {
		t := w.End.UTC()
		end = &t
	}
	return start, end
}

func certName(c *x509.Certificate) string {
	if s := c.Subject.String(); s != "" {
		return s
	}
	return "serial number " + c.SerialNumber.Text(16)
}

func keyDetails(c *x509.Certificate) string {
	if d, err := pubkey.DefaultDetails(c.PublicKey); err == nil {
		return string(d)
	}
	return c.PublicKeyAlgorithm.String()
}

func window(w trustroot.Window) string {
	switch {
	case w.Start.IsZero() && w.End.IsZero():
		return "always"
	case w.End.IsZero():
		return "since " + day(w.Start)
	case w.Start.IsZero():
		return "until " + day(w.End)
	}
	return day(w.Start) + " to " + day(w.End)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }
