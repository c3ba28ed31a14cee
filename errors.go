// SPDX-License-Identifier: Apache-2.0

package hallmark

import (
	"errors"

	"hallmark/internal/judge/verify"
)

// Code names the check that refused. The set is closed and stable; see [Codes]
// and docs/verification.md.
type Code string

// The codes that this package itself gives; [Codes] lists all.
const (
	CodePolicy          = Code(verify.CodePolicy)
	CodeBundle          = Code(verify.CodeBundle)
	CodeArtifactMissing = Code(verify.CodeArtifactMissing)
)

// Codes lists every code there is, in the order of the checks.
func Codes() []Code {
	var all []Code
	for _, c := range verify.Codes() {
		all = append(all, Code(c))
	}
	return all
}

// Meaning says in one sentence what the code means; "" for no known code.
func (c Code) Meaning() string { return verify.Code(c).Meaning() }

// Error is why something was not verified: the first check that failed.
type Error struct {
	Code Code
	Err  error // what was expected and what was found
}

// Error is "code: what was expected and found".
func (e *Error) Error() string { return string(e.Code) + ": " + e.Err.Error() }

// Unwrap returns the evidence.
func (e *Error) Unwrap() error { return e.Err }

func wrap(err error) error {
	var e *verify.Error
	if errors.As(err, &e) {
		return &Error{Code: Code(e.Code), Err: e.Err}
	}
	return err
}
