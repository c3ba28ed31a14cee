// SPDX-License-Identifier: Apache-2.0

package verify

import "fmt"

// A Code names the check that refused a bundle. The set is closed and stable:
// codes are exit reasons, metric labels, admission reasons and anchors of the
// manual, so one is never renamed and never reused.
type Code string

// The codes, in the order in which [Check] looks for them.
const (
	CodePolicy              Code = "policy"
	CodeBundle              Code = "bundle"
	CodeUnsupported         Code = "unsupported"
	CodeSignerKind          Code = "signer-kind"
	CodeCertificate         Code = "certificate"
	CodeArtifactMissing     Code = "artifact-missing"
	CodeTimestamp           Code = "timestamp"
	CodeTimestampWindow     Code = "timestamp-window"
	CodeSET                 Code = "signed-entry-timestamp"
	CodeTimestampThreshold  Code = "timestamp-threshold"
	CodeCertificateTime     Code = "certificate-time"
	CodeCertificateChain    Code = "certificate-chain"
	CodeSCT                 Code = "sct"
	CodeSCTThreshold        Code = "sct-threshold"
	CodeLogEntryMismatch    Code = "log-entry-mismatch"
	CodeLogWindow           Code = "log-window"
	CodeCheckpoint          Code = "checkpoint"
	CodeInclusionProof      Code = "inclusion-proof"
	CodeCheckpointSignature Code = "checkpoint-signature"
	CodeLogThreshold        Code = "log-threshold"
	CodeArtifactMismatch    Code = "artifact-digest-mismatch"
	CodeSignature           Code = "signature"
	CodeStatement           Code = "statement"
	CodePredicateType       Code = "predicate-type"
	CodeNoMatchingIdentity  Code = "no-matching-identity"
)

// codes lists the closed set with what each one means. docs/verification.md
// holds the same table; a test compares the two.
var codes = [...]struct {
	code    Code
	meaning string
}{
	{CodePolicy, "The policy itself cannot accept anything: no identity and no key, both at once, or a threshold that makes no sense."},
	{CodeBundle, "The bundle is not whole: something its version requires is missing, there twice, too large or out of bounds."},
	{CodeUnsupported, "The bundle uses a kind of log entry, key, digest or payload that is not judged here."},
	{CodeSignerKind, "The policy wants a certificate and the bundle names a key, or the other way round."},
	{CodeCertificate, "The signing certificate is not one that a code signing authority issues: unreadable, a CA, wrong key usage, not exactly one subject alternative name, or two issuer extensions that disagree."},
	{CodeArtifactMissing, "The caller gave no digest of the artifact, or not the algorithm that the signature is over."},
	{CodeTimestamp, "A timestamp token of a trusted authority is malformed, is over other bytes than this signature, or its own signature does not hold."},
	{CodeTimestampWindow, "A timestamp token's time is outside the window in which the trusted root trusts its authority."},
	{CodeSET, "A trusted log's promise (signed entry timestamp) does not hold for this entry."},
	{CodeTimestampThreshold, "Fewer distinct authorities vouch for the time of signing than the policy asks for."},
	{CodeCertificateTime, "A verified time is outside the signing certificate's validity."},
	{CodeCertificateChain, "The signing certificate does not lead to a certificate authority that the trusted root trusts at every verified time."},
	{CodeSCT, "A signed certificate timestamp of a trusted CT log does not hold for this certificate, or is outside that log's window."},
	{CodeSCTThreshold, "Fewer trusted CT logs have seen the certificate than the policy asks for."},
	{CodeLogEntryMismatch, "A trusted log's entry is about another signature, key or digest than this bundle."},
	{CodeLogWindow, "An entry's time is outside the window in which the trusted root trusts its log."},
	{CodeCheckpoint, "The checkpoint cannot be read, is another log's, or speaks of another tree than the inclusion proof."},
	{CodeInclusionProof, "The inclusion proof is missing or does not lead from the entry to the checkpoint's root."},
	{CodeCheckpointSignature, "The checkpoint is not signed by the trusted log that its entry names."},
	{CodeLogThreshold, "Fewer trusted logs hold the signature than the policy asks for."},
	{CodeArtifactMismatch, "The signature is about another artifact than the one given."},
	{CodeSignature, "The signature does not verify with the signer's key, or says that another key made it."},
	{CodeStatement, "The signed payload is not one that can be read: an in-toto statement or, in a legacy signature, a simple signing payload."},
	{CodePredicateType, "The statement's predicate type is not the one the policy asks for."},
	{CodeNoMatchingIdentity, "The signer is none of the identities that the policy accepts."},
}

// Codes returns every code there is, in the order of the checks.
func Codes() []Code {
	all := make([]Code, len(codes))
	for i, c := range codes {
		all[i] = c.code
	}
	return all
}

// Meaning says in one sentence what the code means; "" for no known code.
func (c Code) Meaning() string {
	for _, known := range codes {
		if known.code == c {
			return known.meaning
		}
	}
	return ""
}

// An Error is the only kind of error that [Check] and [NewIdentity] return: the
// first check that failed, with what it expected and what it found.
type Error struct {
	Code Code
	Err  error
}

// Error returns "code: what was expected and found".
func (e *Error) Error() string { return string(e.Code) + ": " + e.Err.Error() }

// Unwrap returns the evidence.
func (e *Error) Unwrap() error { return e.Err }

func fail(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}
