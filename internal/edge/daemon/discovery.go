// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net/http"

	"hallmark/internal/base/httpapi"
	"hallmark/internal/service/trust"
)

// browserClientID is what clients without a registration of their own call
// themselves, at the development issuer and at public ones.
const browserClientID = "sigstore"

// serveDiscovery answers all that a client needs to know to use this instance,
// except why to trust it.
func (d *Daemon) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	doc := d.instance()
	data, err := doc.Marshal()
	if err != nil {
		httpapi.Error(w, httpapi.Internal, "the discovery document could not be made")
		return
	}
	httpapi.WriteBody(w, http.StatusOK, "application/json", data)
}

func (d *Daemon) instance() *trust.Instance {
	m, log := d.manifest, d.logs.current()
	doc := &trust.Instance{
		Version: 1, Name: m.Organization, Development: m.Development, ExternalURL: m.ExternalURL,
		TUF:      trust.InstanceTUF{Mirror: m.ExternalURL + "/tuf", RootSHA256: d.tuf.RootSHA256()},
		Audience: d.audience(),
		Log:      trust.InstanceLog{Origin: log.Origin, BaseURL: log.BaseURL, Search: m.ExternalURL + "/hallmark/v1/log"},
	}
	for _, i := range d.oidc.Issuers() {
		if i.IssuerURL == "" {
			continue
		}
		issuer := trust.InstanceIssuer{URL: i.IssuerURL, ClientID: i.Audience, Audience: i.Audience, Type: i.IssuerType}
		if d.dev != nil && i.IssuerURL == d.dev.URL() {
			issuer.ClientID, issuer.Development = browserClientID, true
		}
		doc.Issuers = append(doc.Issuers, issuer)
	}
	return doc
}
