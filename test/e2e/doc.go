// SPDX-License-Identifier: Apache-2.0

// Package e2e breaks the real hallmarkd: it is killed, starved of disk, given a
// wrong clock and watched through its system calls, and then has to keep what it
// promised. Run it with go test -count=1 in this folder; it needs strace, and
// takes the privileges of root or of user namespaces if it can get them.
//
// Invariants: the program under test is the one a user runs, built from this
// tree; everything listens on 127.0.0.1 and writes to temporary folders; what
// the program says is checked by code that shares nothing with the services but
// the formats. A test that finds a tool missing fails and names it.
package e2e
