// SPDX-License-Identifier: Apache-2.0

package trustroot

import (
	"errors"
	"fmt"

	pb "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
)

// ParseClientTrustConfig reads a file that holds a trusted root and a signing
// config (ClientTrustConfigMediaType); both must be there.
func ParseClientTrustConfig(data []byte) (*Root, *SigningConfig, error) {
	var msg pb.ClientTrustConfig
	if err := unmarshal(data, &msg); err != nil {
		return nil, nil, fmt.Errorf("client trust config: %w", err)
	}
	if msg.GetMediaType() != ClientTrustConfigMediaType {
		return nil, nil, fmt.Errorf("client trust config: mediaType is %q; expected %q", msg.GetMediaType(), ClientTrustConfigMediaType)
	}
	if msg.GetTrustedRoot() == nil || msg.GetSigningConfig() == nil {
		return nil, nil, errors.New("client trust config: trustedRoot and signingConfig must both be present")
	}
	root, err := rootFromProto(msg.GetTrustedRoot())
	if err != nil {
		return nil, nil, fmt.Errorf("client trust config: trustedRoot: %w", err)
	}
	config, err := signingConfigFromProto(msg.GetSigningConfig())
	if err != nil {
		return nil, nil, fmt.Errorf("client trust config: signingConfig: %w", err)
	}
	return root, config, nil
}
