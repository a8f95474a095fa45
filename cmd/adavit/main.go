// Adavit trains, measures and runs vision transformers whose tokens stop being computed once they have said what they
// know.
//
// Usage:
//
//	adavit demo                                                    the bundled models on the bundled test images
//	adavit classify --model fashion-adaptive photo.png             what is on a picture
//	adavit eval --model fashion-adaptive --data fashion-mnist      accuracy, depth, MACs, speed
//	adavit train --recipe fashion-dense --data fashion-mnist --out my-model
//	adavit predict --model DIR --input x.safetensors --output y.safetensors
//	adavit preprocess --model DIR --output x.safetensors photo.png
//	adavit inspect DIR
//	adavit bench --variant deit-small
//
// Every command takes --threads, --precision and --json, and explains itself with --help. Results go to standard
// output, everything else to standard error. The exit status is 0 when all was done, 1 when something failed, and 2
// when the command line was wrong.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
