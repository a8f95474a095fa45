package main

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	beamlog "github.com/apache/beam/sdks/v2/go/pkg/beam/log"
)

// isWorker reports whether a runner has started this process to work for it.
func isWorker() bool { return isSet("worker") }

// isSet reports whether a flag of Beam's is true.
func isSet(name string) bool {
	f := flag.Lookup(name)
	return f != nil && f.Value.String() == "true"
}

// stagedPrefix begins the names of folders that spark/boot makes for one worker each.
const stagedPrefix = "adavit-staged-"

// tidyWorker sees that a worker leaves nothing behind. Beam's boot program copies this one to /tmp/bin*/worker, 80 MB
// for each worker of each stage, and nobody removes it, nor the worker where boot is killed at the end of a stage. In a
// container both go with it; on a host they pile up.
func tidyWorker() {
	if exe, err := os.Executable(); err == nil && isCopy(exe) {
		os.RemoveAll(filepath.Dir(exe)) // it runs on
	}
	own := "" // folder of this worker alone
	if f := flag.Lookup("semi_persist_dir"); f != nil && strings.HasPrefix(filepath.Base(f.Value.String()), stagedPrefix) {
		own = f.Value.String()
		os.RemoveAll(filepath.Join(own, "staged")) // what it was copied from
	}
	parent := os.Getppid()
	go func() {
		for os.Getppid() == parent {
			time.Sleep(500 * time.Millisecond)
		}
		if own != "" {
			os.RemoveAll(own)
		}
		os.Exit(1)
	}()
}

// isCopy reports whether a path is one that boot copies workers to.
func isCopy(exe string) bool {
	dir := filepath.Dir(exe)
	return filepath.Base(exe) == "worker" && strings.HasPrefix(filepath.Base(dir), "bin") && filepath.Dir(dir) == "/tmp"
}

// silent is a logger of nothing: what a job fails of, Beam returns besides.
type silent struct{}

func (silent) Log(context.Context, beamlog.Severity, int, string) {}

func silence() {
	beamlog.SetLogger(silent{})
	slog.SetDefault(slog.New(slog.DiscardHandler))
}
