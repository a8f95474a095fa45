package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/adavit/adavit/internal/turns"
)

// peer is another program that can run the models.
type peer interface {
	// name is how tables call it.
	name() string

	// prepare makes the peer ready to run, with whatever it must install, and returns its version. Commands that a reader
	// needs in order to do the same are added to the log. An error that wraps errAbsent means that this machine cannot
	// have it.
	prepare(ctx context.Context, w workplace) (version string, err error)

	// precisions lists what it can run: f32, bf16, int8.
	precisions() []string

	// convert writes the model in the peer's own formats.
	convert(ctx context.Context, m *model, log *commandLog) error

	// settings are the ways of doing a job among which the fastest is looked for.
	settings(j job, precision string) []string

	// command returns the program, with the arguments that come before those of the protocol, and the model file to load.
	command(m *model, precision, setting string) (args []string, file string)
}

// trainer is a peer that can train the models too.
type trainer interface {
	// training is a peer whose batches are training steps, and whose logits are losses and gradients.
	training() peer
}

// workplace is where peers are.
type workplace struct {
	programs, venv string // folders: of their halves of the protocol, and of what is installed
	log            *commandLog
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

// unpackAll writes all of them.
func unpackAll(dir string) error {
	all, err := programs.ReadDir("peers")
	if err != nil {
		return err
	}
	for _, f := range all {
		if _, err := unpack(dir, f.Name()); err != nil {
			return err
		}
	}
	return nil
}

// errAbsent is wrapped by the error of a peer that this machine cannot have.
var errAbsent = errors.New("not on this machine")

// peers are all that are known.
func peers(o options) []peer { return []peer{&openVINO{}, &onnxRuntime{}, &pyTorch{wanted: o.torch}} }

// ways are the settings of which each kind runs a batch as a whole, or, if there is more than one image in it, apart.
func ways(j job, apart string, kinds ...string) (all []string) {
	for _, kind := range kinds {
		all = append(all, kind+"+batch")
		if j.batch > 1 {
			all = append(all, kind+"+"+apart)
		}
	}
	return all
}

// runLogged runs a command that a reader may want to run, too.
func runLogged(ctx context.Context, log *commandLog, args []string) error {
	log.add(args...)
	if text, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args[:2], " "), cmp.Or(ctx.Err(), err), text)
	}
	return nil
}

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

// peerArgs is the command line of the protocol.
func peerArgs(p peer, j job, precision, setting string) []string {
	args, file := p.command(j.model, precision, setting)
	args = append(args[:len(args):len(args)], file, precision, setting, strconv.Itoa(j.threads), strconv.Itoa(j.batch),
		j.model.input)
	return append(args, j.model.shape()...)
}

// startPeer loads the model in a process of the peer.
func startPeer(ctx context.Context, p peer, j job, precision, setting string, answer int) (*process, error) {
	s, err := startProcess(ctx, peerArgs(p, j, precision, setting), answer)
	if err != nil {
		return nil, fmt.Errorf("%s %s, %s: %w", p.name(), precision, setting, err)
	}
	return s, nil
}

// trial is how long a setting is tried.
const trial = 300 // ms

// startFastest starts the peer with the setting that is the fastest of its own, and returns that; what was the fastest
// for a model and a batch is so for all numbers of threads. answer is how many numbers it returns when asked for
// logits. Settings that fail are left out unless all do.
func (f *findings) startFastest(ctx context.Context, p peer, j job, precision string, answer int) (
	best *process, setting string, err error) {
	all := p.settings(j, precision)
	key := fmt.Sprint(p.name(), precision, j.model.dir, j.batch, all)
	if s, ok := f.chosen[key]; ok {
		all = []string{s}
	}
	if len(all) == 1 {
		best, err = startPeer(ctx, p, j, precision, all[0], answer)
		f.commands.add(peerArgs(p, j, precision, all[0])...)
		return best, all[0], err
	}
	least := 0.0
	var failed []error
	for _, s := range all {
		tried, err := startPeer(ctx, p, j, precision, s, answer)
		var ms []float64
		if err == nil {
			if ms, err = tried.run(ctx, trial/1000.); err != nil {
				tried.close()
			}
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, "", ctx.Err()
			}
			failed = append(failed, err)
			f.note("%s, %s, setting %s was left out: %v", p.name(), precision, s, err)
			continue
		}
		took := turns.Median(ms)
		f.progress("  %s %s, %s: %.4g ms", p.name(), precision, s, took)
		if best != nil && took >= least {
			tried.close()
			continue
		}
		if best != nil {
			best.close()
		}
		best, setting, least = tried, s, took
	}
	if best == nil {
		return nil, "", errors.Join(failed...)
	}
	f.chosen[key] = setting
	f.commands.add(peerArgs(p, j, precision, setting)...)
	return best, setting, nil
}
