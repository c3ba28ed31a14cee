// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/x509"
	"fmt"

	"github.com/spf13/pflag"

	"hallmark/internal/service/registry"
)

// registryFlags say how to reach registries.
type registryFlags struct {
	opts   registry.Options
	caFile string
}

func (r *registryFlags) bind(f *pflag.FlagSet) {
	f.BoolVar(&r.opts.AllowInsecure, "allow-insecure-registry", false, "allow plain HTTP to registries on other machines; credentials are never sent that way")
	f.StringVar(&r.opts.Credentials.Username, "registry-username", "", "registry `USER` (default: docker's configuration)")
	f.StringVar(&r.opts.Credentials.Password, "registry-password", "", "registry `PASSWORD`")
	f.StringVar(&r.opts.Credentials.Bearer, "registry-token", "", "registry bearer `TOKEN`")
	f.StringVar(&r.opts.EvidenceRepository, "evidence-repository", "", "`REPOSITORY` with the signatures of all images (default: $COSIGN_REPOSITORY, or each image's own)")
	f.StringVar(&r.caFile, "registry-cacert", "", "PEM `FILE` with the certificate authorities of the registry")
}

func (r *registryFlags) client(a *app) (*registry.Client, error) {
	opts := r.opts
	if opts.EvidenceRepository == "" {
		opts.EvidenceRepository = a.Getenv("COSIGN_REPOSITORY")
	}
	opts.UserAgent = userAgent()
	if r.caFile != "" {
		data, err := readFile(r.caFile, 1<<20)
		if err != nil {
			return nil, fmt.Errorf("--registry-cacert: %w", err)
		}
		opts.RootCAs = x509.NewCertPool()
		if !opts.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("--registry-cacert %s holds no PEM certificate", r.caFile)
		}
	}
	return registry.New(opts)
}
