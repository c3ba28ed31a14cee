// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/term"

	"hallmark/internal/service/sign"
)

// interactive says whether a person can answer questions.
func (a *app) interactive() bool {
	f, ok := a.In.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminal is standard error where it is one.
func (a *app) terminal() bool {
	f, ok := a.Err.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && a.Getenv("TERM") != "dumb"
}

// doing is what each step is called while it runs.
var doing = map[sign.Step]string{
	sign.StepCertificate: "asking for a certificate",
	sign.StepSignature:   "signing",
	sign.StepTimestamp:   "asking for the time",
	sign.StepLog:         "waiting for the log",
	sign.StepVerify:      "verifying",
}

// progress shows the step under way: on a terminal in one line that is
// replaced, elsewhere only steps that took long.
func (a *app) progress() func(sign.Event) {
	if a.quiet {
		return nil
	}
	onTerminal := a.terminal()
	return func(e sign.Event) {
		switch {
		case onTerminal && !e.Done:
			fmt.Fprintf(a.Err, "\r\x1b[K%s…", doing[e.Step])
		case onTerminal:
			fmt.Fprint(a.Err, "\r\x1b[K")
		case e.Done && e.Took > 2*time.Second:
			fmt.Fprintf(a.Err, "%s took %s\n", doing[e.Step], e.Took.Round(100*time.Millisecond))
		}
	}
}
