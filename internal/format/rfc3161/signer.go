// SPDX-License-Identifier: Apache-2.0

package rfc3161

import "crypto/x509"

// ClaimsSigner reports whether the token says that cert signed it, by issuer
// and serial number or by key identifier. It proves nothing: it is for finding
// the authority to call Verify with.
func (t *Token) ClaimsSigner(cert *x509.Certificate) bool { return t.signer.names(cert) }
