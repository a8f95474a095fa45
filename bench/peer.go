package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// peer is another program that can run the models.
type peer interface {
	// name is how tables call it.
	name() string

	// prepare makes the peer ready to run, with whatever it must install under the cache folder, and returns its version.
	// Commands that a reader needs in order to do the same are added to the log. An error that wraps errAbsent means that
	// this machine cannot have it.
	prepare(ctx context.Context, cache string, log *commandLog) (version string, err error)

	// precisions lists what it can run: f32, int8.
	precisions() []string

	// command returns the program, with the arguments that come before those of the protocol, and the model file to load.
	command(m *model, precision string) (args []string, file string)
}

// programs are the peers' own halves of the protocol.
//
//go:embed peers
var programs embed.FS

// unpack writes a peer's program into a folder and returns its path.
func unpack(dir, name string) (string, error) {
	text, err := programs.ReadFile("peers/" + name)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, text, 0o666)
}

// trainer is a peer that can train the models too.
type trainer interface {
	peer
	// trains is the protocol's last argument for that.
	trains() string
}

// errAbsent is wrapped by the error of a peer that this machine cannot have.
var errAbsent = errors.New("not on this machine")

// peers are all that are known.
func peers() []peer { return []peer{&onnxRuntime{}, &pyTorch{}} }

// side is one contestant that has its model loaded.
type side interface {
	// run works through batches one after the other for about so many seconds, after one that is not counted, and returns
	// the milliseconds that each took: three at least.
	run(ctx context.Context, seconds float64) ([]float64, error)

	// logits runs all images, batch by batch.
	logits(ctx context.Context) ([]float32, error)

	close()
}

// job is what all sides of a contest do.
type job struct {
	model          *model
	threads, batch int
}

// startPeer loads the model in a process of the peer, with more arguments of the protocol if there are any. answer is
// how many numbers it returns when asked for logits.
func startPeer(ctx context.Context, p peer, j job, precision string, log *commandLog, answer int,
	more ...string) (*process, error) {
	args, file := p.command(j.model, precision)
	c := j.model.params.Config
	args = append(args[:len(args):len(args)], file, strconv.Itoa(j.threads), strconv.Itoa(j.batch), j.model.input,
		strconv.Itoa(c.Channels), strconv.Itoa(c.Height), strconv.Itoa(c.Width))
	args = append(args, more...)
	log.add(args...)
	s, err := startProcess(ctx, args, answer)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", p.name(), precision, err)
	}
	return s, nil
}
