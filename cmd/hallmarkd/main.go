// SPDX-License-Identifier: Apache-2.0

// Command hallmarkd is the Hallmark authority: certificate authority,
// transparency logs, timestamp authority and trust root in one process.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"hallmark/internal/edge/daemoncli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := daemoncli.Main(ctx, os.Args[1:], daemoncli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}
