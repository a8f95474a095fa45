package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

//go:generate go test -count=1 -run ^TestManual$ . -update

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
