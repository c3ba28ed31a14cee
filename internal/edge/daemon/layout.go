// SPDX-License-Identifier: Apache-2.0

package daemon

import "path/filepath"

// layout names every file of a data folder. Nothing else knows these paths.
//
//	DATA/lock                      held while a process serves or checks the folder
//	DATA/instance/                 made by the first start, in one rename
//	    instance.json              what never changes: URL, origin, development or not
//	    keys/NAME.pem              the keys that serving needs, 0600
//	    certs/{ca,tsa}[-N].pem     chains, leaf or issuer first
//	    trusted_root.json, signing_config.v0.2.json
//	    tuf/                       the TUF repository as published
//	DATA/offline/NAME.pem          the keys that serving must never open
//	DATA/log/ORIGIN/               a transparency log shard
//	DATA/ct/, DATA/ct-N/           the certificate transparency logs
//	DATA/first-start.tmp/          an unfinished first start
//	DATA/rotation.tmp/             an unfinished rotation
//
// What rotation replaces keeps its plain name (ca, tsa, ct, log); what comes
// after it is called NAME-2, NAME-3 and so on. See [generation].
type layout struct{ root string }

func (l layout) lock() string        { return filepath.Join(l.root, "lock") }
func (l layout) instance() string    { return filepath.Join(l.root, "instance") }
func (l layout) offline() string     { return filepath.Join(l.root, "offline") }
func (l layout) staging() string     { return filepath.Join(l.root, "first-start.tmp") }
func (l layout) rotation() string    { return filepath.Join(l.root, "rotation.tmp") }
func (l layout) logs() string        { return filepath.Join(l.root, "log") }
func (l layout) log(o string) string { return filepath.Join(l.logs(), o) }
func (l layout) ct(g string) string  { return filepath.Join(l.root, g) } // g names a generation
func (l layout) adminSocket() string { return filepath.Join(l.root, "admin.sock") }
func (l layout) devSocket() string   { return filepath.Join(l.root, "dev-issuer.sock") }

// instanceFiles names the files of an instance folder, finished or staged.
type instanceFiles struct{ dir string }

func (f instanceFiles) manifest() string         { return filepath.Join(f.dir, "instance.json") }
func (f instanceFiles) key(name string) string   { return filepath.Join(f.dir, "keys", name+".pem") }
func (f instanceFiles) certs(name string) string { return filepath.Join(f.dir, "certs", name+".pem") }
func (f instanceFiles) trustedRoot() string      { return filepath.Join(f.dir, "trusted_root.json") }
func (f instanceFiles) signingConfig() string {
	return filepath.Join(f.dir, "signing_config.v0.2.json")
}
func (f instanceFiles) tuf() string { return filepath.Join(f.dir, "tuf") }

// The keys that serving opens.
const (
	keyCA           = "ca"
	keyCT           = "ct"
	keyLog          = "log"
	keyTSA          = "tsa"
	keyTUFSnapshot  = "tuf-snapshot"
	keyTUFTimestamp = "tuf-timestamp"
	keyDevIssuer    = "dev-issuer"
)

// The keys that go to the offline folder.
const (
	keyCARoot     = "ca-root"
	keyTSARoot    = "tsa-root"
	keyTUFRoot    = "tuf-root"
	keyTUFTargets = "tuf-targets"
)
