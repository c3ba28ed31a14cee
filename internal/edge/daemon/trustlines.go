// SPDX-License-Identifier: Apache-2.0

package daemon

import "fmt"

// TrustLines is the two commands by which a client comes to trust this
// instance: ours and cosign's. The hash must reach the client over a channel
// it already trusts; it is what the trust rests on.
func (d *Daemon) TrustLines() string {
	return fmt.Sprintf(`Clients trust it after one of these:

  hallmark trust init %[1]s --root-sha256 %[2]s
  cosign initialize --mirror %[1]s/tuf --root %[1]s/tuf/root.json --root-checksum %[2]s
`, d.URL(), d.RootSHA256())
}
