// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"errors"
	"fmt"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/strictjson"
)

// This file reads bundles by protojson's rules without protojson, which took
// most of the time. A fuzz target compares the two.

// decode reads the JSON; what is left to check is in validate.
func decode(data []byte) (*Bundle, error) {
	doc, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	m, err := doc.Closed("mediaType", "media_type", "verificationMaterial", "verification_material",
		"messageSignature", "message_signature", "dsseEnvelope", "dsse_envelope")
	if err != nil {
		return nil, err
	}
	b := new(Bundle)
	var material, message, envelope strictjson.Value
	var hasMaterial, hasMessage, hasEnvelope bool
	f := strictjson.FieldsOf(m)
	f.Text("mediaType", "media_type", &b.MediaType)
	f.Value("verificationMaterial", "verification_material", &material, &hasMaterial)
	f.Value("messageSignature", "message_signature", &message, &hasMessage)
	f.Value("dsseEnvelope", "dsse_envelope", &envelope, &hasEnvelope)
	if err := f.Err(); err != nil {
		return nil, err
	}
	if b.Version, err = ParseMediaType(b.MediaType); err != nil {
		return nil, err
	}
	if !hasMaterial {
		return nil, errors.New("verificationMaterial is missing: expected a certificate or a public key, and log entries")
	}
	if err := b.readMaterial(material); err != nil {
		return nil, fmt.Errorf("verificationMaterial: %w", err)
	}
	switch {
	case hasMessage == hasEnvelope:
		return nil, errors.New("expected exactly one of messageSignature and dsseEnvelope")
	case hasMessage:
		err = b.readMessage(message)
	default:
		err = b.readEnvelope(envelope)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Bundle) readMaterial(v strictjson.Value) error {
	m, err := v.Closed("publicKey", "public_key", "certificate", "x509CertificateChain", "x509_certificate_chain",
		"tlogEntries", "tlog_entries", "timestampVerificationData", "timestamp_verification_data")
	if err != nil {
		return err
	}
	var key, certificate, chain strictjson.Value
	var hasKey, hasCertificate, hasChain bool
	f := strictjson.FieldsOf(m)
	f.Value("publicKey", "public_key", &key, &hasKey)
	f.Value("certificate", "certificate", &certificate, &hasCertificate)
	f.Value("x509CertificateChain", "x509_certificate_chain", &chain, &hasChain)
	f.List("tlogEntries", "tlog_entries", MaxEntries, func(v strictjson.Value) error {
		e, err := logentry.FromJSON(v)
		b.Entries = append(b.Entries, e)
		return err
	})
	f.Sub("timestampVerificationData", "timestamp_verification_data", func(f *strictjson.Fields) {
		f.List("rfc3161Timestamps", "rfc3161_timestamps", MaxTimestamps, func(v strictjson.Value) error {
			ts, err := only(v, "signedTimestamp", "signed_timestamp")
			b.Timestamps = append(b.Timestamps, ts)
			return err
		})
	}, "rfc3161Timestamps", "rfc3161_timestamps")
	if err := f.Err(); err != nil {
		return err
	}
	switch {
	case hasKey && !hasCertificate && !hasChain:
		b.HasKeyHint = true
		return b.readHint(key)
	case hasCertificate && !hasKey && !hasChain:
		der, err := only(certificate, "rawBytes", "raw_bytes")
		if err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
		b.Certificates = [][]byte{der}
		return nil
	case hasChain && !hasKey && !hasCertificate:
		if b.Version >= V03 {
			return errors.New("x509CertificateChain is not allowed in version 0.3: expected certificate or publicKey")
		}
		return b.readChain(chain)
	}
	return errors.New("expected one of certificate, publicKey and x509CertificateChain")
}

func (b *Bundle) readHint(v strictjson.Value) error {
	m, err := v.Closed("hint")
	if err != nil {
		return fmt.Errorf("publicKey: %w", err)
	}
	f := strictjson.FieldsOf(m)
	f.Text("hint", "hint", &b.KeyHint)
	if err := f.Err(); err != nil {
		return fmt.Errorf("publicKey.%w", err)
	}
	return nil
}

func (b *Bundle) readChain(v strictjson.Value) error {
	m, err := v.Closed("certificates")
	if err != nil {
		return fmt.Errorf("x509CertificateChain: %w", err)
	}
	f := strictjson.FieldsOf(m)
	f.List("certificates", "certificates", MaxCertificates, func(v strictjson.Value) error {
		der, err := only(v, "rawBytes", "raw_bytes")
		b.Certificates = append(b.Certificates, der)
		return err
	})
	if err := f.Err(); err != nil {
		return fmt.Errorf("x509CertificateChain.%w", err)
	}
	return nil
}

// only reads a message whose only field is bytes.
func only(v strictjson.Value, camel, declared string) (b []byte, err error) {
	m, err := v.Closed(camel, declared)
	if err != nil {
		return nil, err
	}
	f := strictjson.FieldsOf(m)
	f.Bytes(camel, declared, &b)
	return b, f.Err()
}

func (b *Bundle) readMessage(v strictjson.Value) error {
	m, err := v.Closed("messageDigest", "message_digest", "signature")
	if err != nil {
		return fmt.Errorf("messageSignature: %w", err)
	}
	b.Message = new(MessageSignature)
	var hash strictjson.Value
	var hasHash bool
	f := strictjson.FieldsOf(m)
	f.Value("messageDigest", "message_digest", &hash, &hasHash)
	f.Bytes("signature", "signature", &b.Message.Signature)
	if err := f.Err(); err != nil {
		return fmt.Errorf("messageSignature.%w", err)
	}
	if !hasHash {
		return nil
	}
	if b.Message.Digest, err = readHash(hash); err != nil {
		return fmt.Errorf("messageSignature.messageDigest%w", err)
	}
	return nil
}

// readHash returns errors that go on with the path.
func readHash(v strictjson.Value) (digest.Digest, error) {
	m, err := v.Closed("algorithm", "digest")
	if err != nil {
		return digest.Digest{}, fmt.Errorf(": %w", err)
	}
	alg, err := readAlgorithm(m)
	if err != nil {
		return digest.Digest{}, fmt.Errorf(".algorithm: %w", err)
	}
	var sum []byte
	f := strictjson.FieldsOf(m)
	f.Bytes("digest", "digest", &sum)
	if err := f.Err(); err != nil {
		return digest.Digest{}, fmt.Errorf(".%w", err)
	}
	d, err := digest.New(alg, sum)
	if err != nil {
		return digest.Digest{}, fmt.Errorf(".digest: %w", err)
	}
	return d, nil
}

// readAlgorithm takes a name or a number of the enum HashAlgorithm.
func readAlgorithm(m strictjson.Members) (digest.Algorithm, error) {
	v, ok := m.Get("algorithm")
	if !ok {
		return 0, errors.New("missing: expected a name such as SHA2_256")
	}
	var name string
	var err error
	if v.Kind() == strictjson.Number {
		var n int64
		if n, err = v.Int64(); err != nil {
			return 0, err
		}
		names := map[int64]string{1: "SHA2_256", 2: "SHA2_384", 3: "SHA2_512"}
		if name = names[n]; name == "" {
			return 0, fmt.Errorf("number %d is not supported: expected SHA2_256, SHA2_384 or SHA2_512", n)
		}
	} else if name, err = v.Text(); err != nil {
		return 0, err
	}
	alg, err := digest.ParseAlgorithm(name)
	if err == nil && alg.Sigstore() != name {
		err = fmt.Errorf("%q is not a name of the enum: expected %s", name, alg.Sigstore())
	}
	return alg, err
}

func (b *Bundle) readEnvelope(v strictjson.Value) error {
	m, err := v.Closed("payload", "payloadType", "signatures")
	if err != nil {
		return fmt.Errorf("dsseEnvelope: %w", err)
	}
	b.Envelope = new(dsse.Envelope)
	f := strictjson.FieldsOf(m)
	f.Bytes("payload", "payload", &b.Envelope.Payload)
	f.Text("payloadType", "payloadType", &b.Envelope.PayloadType)
	f.List("signatures", "signatures", dsse.MaxSignatures, func(v strictjson.Value) error {
		m, err := v.Closed("sig", "keyid")
		if err != nil {
			return err
		}
		var s dsse.Signature
		f := strictjson.FieldsOf(m)
		f.Bytes("sig", "sig", &s.Sig)
		f.Text("keyid", "keyid", &s.KeyID)
		b.Envelope.Signatures = append(b.Envelope.Signatures, s)
		return f.Err()
	})
	if err := f.Err(); err != nil {
		return fmt.Errorf("dsseEnvelope.%w", err)
	}
	return nil
}
