// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	_ "embed"
	"fmt"
	"maps"
	"time"
)

// The public Sigstore instance, https://github.com/sigstore/root-signing
// (Apache-2.0). The TUF root is the one that sigstore-go carries; it may have
// expired, which matters to nothing but the roots that follow it. Offline use
// depends on the validity windows in trusted_root.json alone.
var (
	//go:embed publicgood/root.json
	publicGoodRoot []byte
	//go:embed publicgood/trusted_root.json
	publicGoodTrustedRoot []byte
	//go:embed publicgood/signing_config.v0.2.json
	publicGoodSigningConfig []byte
)

// publicGoodMirror is where the public instance publishes its trust root.
const publicGoodMirror = "https://tuf-repo-cdn.sigstore.dev"

// publicGoodDate is when the embedded copy was current.
func publicGoodDate() time.Time { return time.Date(2026, time.August, 21, 0, 0, 0, 0, time.UTC) }

func loadBuiltin() (*Active, error) {
	a := &Active{Name: PublicGood, Kind: KindBuiltin, Refreshed: publicGoodDate()}
	err := a.parse(map[string][]byte{rootFile: publicGoodTrustedRoot, configFile: publicGoodSigningConfig})
	if err != nil {
		return nil, fmt.Errorf("built-in trust root %q: %w", PublicGood, err)
	}
	return a, nil
}

func (s *Store) builtinInfo() Info {
	def, err := s.Default()
	return Info{Name: PublicGood, Kind: KindBuiltin, URL: publicGoodMirror, Mirror: publicGoodMirror,
		RootSHA256: hexSHA256(publicGoodRoot), Refreshed: publicGoodDate(), Default: err == nil && def == PublicGood}
}

// refreshBuiltin stores the public instance's current trust root, beginning
// from the embedded TUF root. The caller holds the lock.
func (s *Store) refreshBuiltin(ctx context.Context) (Info, error) {
	r := &record{Name: PublicGood, Kind: KindBuiltin, URL: publicGoodMirror, Mirror: publicGoodMirror,
		RootSHA256: hexSHA256(publicGoodRoot), Created: s.now().UTC().Truncate(time.Second)}
	seen := map[string][]byte{rootFile: publicGoodTrustedRoot, configFile: publicGoodSigningConfig}
	return s.update(ctx, r, nil, publicGoodRoot, maps.Clone(seen), "")
}
