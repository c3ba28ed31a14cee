// SPDX-License-Identifier: Apache-2.0

// Command hallmark signs and verifies software artifacts.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"hallmark/internal/edge/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], cli.World{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv})
	stop()
	os.Exit(code)
}
