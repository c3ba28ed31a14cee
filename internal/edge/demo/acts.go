// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"hallmark/internal/edge/cli"
	"hallmark/internal/service/devissuer"
)

func (d *stage) trust(ctx context.Context) error {
	d.say("Trust that authority: the hash of its root came with its start")
	return d.hallmark(ctx, cli.ExitOK, "trust", "init", d.authority.URL(), "--name", "demo", "--root-sha256", d.authority.RootSHA256())
}

// ask sets the identity token of the commands that follow.
func (d *stage) ask(ctx context.Context, data string) error {
	token, err := d.token(ctx, data, devissuer.Request{GitHub: repository + "@" + ref})
	if err != nil {
		return err
	}
	d.env["SIGSTORE_ID_TOKEN"] = token
	fmt.Fprintf(d.out, "   $ export SIGSTORE_ID_TOKEN=$(hallmarkd dev-token --data %s --github %s@%s)\n", d.path(data), repository, ref)
	return nil
}

func (d *stage) signImage(ctx context.Context) error {
	d.say("Sign the image without any key, as the release workflow of %s", repository)
	if err := d.ask(ctx, "data"); err != nil {
		return err
	}
	return d.hallmark(ctx, cli.ExitOK, "sign", "--yes", d.image)
}

func (d *stage) verifyImage(ctx context.Context) error {
	d.say("Verify who signed it")
	return d.hallmark(ctx, cli.ExitOK, d.verifyArgs(rightIdentity, d.image)...)
}

func (d *stage) verifyArgs(identity, image string) []string {
	return []string{"verify", "--certificate-identity", identity, "--certificate-oidc-issuer", d.authority.URL() + "/dev-issuer", image}
}

func (d *stage) refuseWrongIdentity(ctx context.Context) error {
	d.say("Refused: the image is signed, but not by %s", "mallory/app")
	return d.hallmark(ctx, cli.ExitNoMatch, d.verifyArgs(wrongIdentity, d.image)...)
}

// refuseTampered changes the image and gives the changed one the evidence of
// the good one.
func (d *stage) refuseTampered(ctx context.Context) error {
	d.say("Refused: a tampered image that carries the good image's signature")
	img, _, err := hostImage(", and then tampered with")
	if err != nil {
		return err
	}
	tampered := d.registryHost + "/" + repository + ":tampered"
	if _, err := push(ctx, tampered, img); err != nil {
		return err
	}
	if err := d.copyEvidence(ctx, img); err != nil {
		return err
	}
	return d.hallmark(ctx, cli.ExitNoMatch, d.verifyArgs(rightIdentity, tampered)...)
}

// copyEvidence attaches what refers to the signed image to another one.
func (d *stage) copyEvidence(ctx context.Context, to v1.Image) error {
	repo, err := name.NewRepository(d.registryHost + "/" + repository)
	if err != nil {
		return err
	}
	index, err := remote.Referrers(repo.Digest(d.digest), remote.WithContext(ctx))
	if err != nil {
		return err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return err
	}
	digest, err := to.Digest()
	if err != nil {
		return err
	}
	size, err := to.Size()
	if err != nil {
		return err
	}
	mediaType, err := to.MediaType()
	if err != nil {
		return err
	}
	for _, desc := range list.Manifests {
		evidence, err := remote.Image(repo.Digest(desc.Digest.String()), remote.WithContext(ctx))
		if err != nil {
			return err
		}
		moved, ok := mutate.Subject(evidence, v1.Descriptor{MediaType: mediaType, Size: size, Digest: digest}).(v1.Image)
		if !ok {
			return fmt.Errorf("evidence %s is not a manifest", desc.Digest)
		}
		hash, err := moved.Digest()
		if err != nil {
			return err
		}
		if err := remote.Write(repo.Digest(hash.String()), moved, remote.WithContext(ctx)); err != nil {
			return err
		}
	}
	return nil
}

func (d *stage) refuseUnsigned(ctx context.Context) error {
	d.say("Refused: an image that nobody signed")
	img, _, err := hostImage(", and never signed")
	if err != nil {
		return err
	}
	unsigned := d.registryHost + "/" + repository + ":unsigned"
	if _, err := push(ctx, unsigned, img); err != nil {
		return err
	}
	return d.hallmark(ctx, cli.ExitNoSignatures, d.verifyArgs(rightIdentity, unsigned)...)
}

// refuseAlteredProof signs a file, and changes one hash of the bundle's proof
// that the log holds the signature.
func (d *stage) refuseAlteredProof(ctx context.Context) error {
	d.say("Refused: a file whose bundle has an altered inclusion proof")
	d.blob, d.bundle = d.path("release.txt"), d.path("release.txt.sigstore.json")
	if err := os.WriteFile(d.blob, []byte("version 1\n"), 0o600); err != nil {
		return err
	}
	if err := d.ask(ctx, "data"); err != nil {
		return err
	}
	if err := d.hallmark(ctx, cli.ExitOK, "sign-blob", "--yes", "--bundle", d.bundle, d.blob); err != nil {
		return err
	}
	altered := d.path("altered.sigstore.json")
	if err := alterProof(d.bundle, altered); err != nil {
		return err
	}
	return d.hallmark(ctx, cli.ExitFailed, d.verifyBlobArgs(altered)...)
}

func (d *stage) verifyBlobArgs(bundle string) []string {
	return []string{"verify-blob", "--bundle", bundle, "--certificate-identity", rightIdentity,
		"--certificate-oidc-issuer", d.authority.URL() + "/dev-issuer", d.blob}
}

func (d *stage) refuseOtherInstance(ctx context.Context) error {
	d.say("Refused: the same identity, signed at another instance that this trust root does not know")
	other, stop, err := d.startAuthority(ctx, "other")
	if err != nil {
		return err
	}
	d.stops = append(d.stops, stop)
	if err := d.ask(ctx, "other"); err != nil {
		return err
	}
	if err := d.hallmark(ctx, cli.ExitOK, "trust", "init", other.URL(), "--name", "other", "--root-sha256", other.RootSHA256()); err != nil {
		return err
	}
	foreign := d.path("other.sigstore.json")
	if err := d.hallmark(ctx, cli.ExitOK, "sign-blob", "--yes", "--trust", "other", "--bundle", foreign, d.blob); err != nil {
		return err
	}
	return d.hallmark(ctx, cli.ExitFailed, d.verifyBlobArgs(foreign)...)
}
