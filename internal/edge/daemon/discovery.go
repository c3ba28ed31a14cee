// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net/http"
	"slices"

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
		Log:      trust.InstanceLog{Origin: log.Origin, BaseURL: log.BaseURL, Search: d.searchURL(log.generation)},
	}
	if all := d.logs.list; len(all) > 1 {
		for _, l := range slices.Backward(all) {
			doc.Log.Shards = append(doc.Log.Shards, trust.InstanceShard{Origin: l.Origin, Search: d.searchURL(l.generation)})
		}
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

// searchURL is where a shard can be asked, by its own name: so a client whose
// copy of the document is old asks the shard that it has the key of.
func (d *Daemon) searchURL(shard generation) string {
	return d.manifest.ExternalURL + shardsPath + shard.Origin + searchPath
}
