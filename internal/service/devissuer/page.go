// SPDX-License-Identifier: Apache-2.0

package devissuer

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const pageStyle = `body{font:16px/1.5 system-ui,sans-serif;max-width:38em;margin:2em auto;padding:0 1em;color:#222;background:#fff8e1}` +
	`h1{font-size:5em;line-height:1;margin:0;color:#b00020;letter-spacing:.1em}` +
	`code{background:#0001;padding:.1em .3em}input[type=text]{font:1.2em monospace;width:100%;box-sizing:border-box;padding:.4em;margin:.5em 0}` +
	`button{font-size:1.1em;padding:.4em 1.5em}.error{color:#b00020;font-weight:bold}`

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>DEV login - Hallmark</title>
<style>{{.Style}}</style></head><body>
<h1>DEV</h1>
<p>This is Hallmark's development issuer at <code>{{.Issuer}}</code>. It proves nothing about anybody. Never type a real password here.</p>
{{if .Error}}<p class="error" role="alert">{{.Error}}</p>{{end}}
{{if .Form}}<p><code>{{.Request.ClientID}}</code> wants to log in, and will get its answer at <code>{{.Request.RedirectURI}}</code>.
If you did not start this login, close the page.</p>
<p>On this machine, run <code>hallmarkd dev-token --login --email you@example.com</code> and type the code it prints:</p>
<form method="post" action="{{.Action}}" autocomplete="off">
<input type="hidden" name="client_id" value="{{.Request.ClientID}}">
<input type="hidden" name="redirect_uri" value="{{.Request.RedirectURI}}">
<input type="hidden" name="state" value="{{.Request.State}}">
<input type="hidden" name="nonce" value="{{.Request.Nonce}}">
<input type="hidden" name="scope" value="{{.Request.Scope}}">
<input type="hidden" name="response_type" value="code">
<input type="hidden" name="code_challenge" value="{{.Request.Challenge}}">
<input type="hidden" name="code_challenge_method" value="S256">
<input type="hidden" name="issued" value="{{.Issued}}">
<input type="hidden" name="csrf" value="{{.CSRF}}">
<label>Login code <input type="text" name="login_code" required maxlength="80" spellcheck="false"></label>
<button type="submit">Log in</button>
</form>{{end}}
</body></html>
`))

type pageData struct {
	Style   template.CSS
	Issuer  string
	Action  string
	Error   string
	Form    bool
	Request authRequest
	Issued  string
	CSRF    string
}

func (i *Issuer) renderLogin(w http.ResponseWriter, status int, req authRequest, cookie, problem string) {
	issued := strconv.FormatInt(i.now().Unix(), 10)
	i.render(w, status, pageData{
		Error: problem, Form: true, Action: i.path + "/authorize",
		Request: req, Issued: issued, CSRF: i.formMAC(req, cookie, issued),
	}, "'self' "+redirectSource(req.RedirectURI))
}

func (i *Issuer) renderError(w http.ResponseWriter, status int, problem string) {
	i.render(w, status, pageData{Error: problem}, "'none'")
}

// redirectSource lets the form's answer redirect to the client: browsers hold
// form-action against redirects too. CSP has no notation for IPv6 addresses.
func redirectSource(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	if err != nil || strings.Contains(u.Host, "[") {
		return "http:"
	}
	return "http://" + u.Host
}

func (i *Issuer) render(w http.ResponseWriter, status int, data pageData, formAction string) {
	data.Style, data.Issuer = pageStyle, i.url
	var body bytes.Buffer
	if err := page.Execute(&body, data); err != nil {
		http.Error(w, "DEV issuer: the page could not be made", http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256([]byte(pageStyle))
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; form-action "+formAction+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	// Not no-referrer: with it browsers send "Origin: null" with the form.
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	w.Write(body.Bytes())
}
