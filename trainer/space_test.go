//go:build linux

package trainer

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// fullDisk is the environment variable that tells this test's child where to train.
const fullDisk = "ADAVIT_TEST_FULL_DISK"

// TestFullDisk lets a run write no more than a little to any file from its seventh step on, which to it is a full
// disk: the checkpoint before stays, nothing half-written does, the error says what to do, and with room again the run
// ends as if nothing had been. A limit of the process is the means, so the run is a process of its own.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv(fullDisk); dir != "" {
		trainOnFullDisk(t, dir)
		return
	}
	whole, broken := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "broken")
	if _, err := Run(t.Context(), stripesRun(t, whole)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), fullDisk+"="+broken)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	steps, err := savedSteps(broken)
	if err != nil || !slices.Equal(steps, []int{6}) { // older ones were given up to make room
		t.Errorf("checkpoints %v, %v", steps, err)
	}
	if entries, err := os.ReadDir(checkpointDir(broken)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: want the one checkpoint", entries, err)
	}
	o := stripesRun(t, broken)
	o.Resume = true
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(storedWeights(t, broken), storedWeights(t, whole)) {
		t.Error("other weights")
	}
	sameLogs(t, whole, broken)
}

func trainOnFullDisk(t *testing.T, dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	o := stripesRun(t, dir)
	o.Recipe.CheckpointSteps = 3
	o.Progress = func(p Progress) {
		if p.Step == 7 {
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 4 << 10, Max: 4 << 10}); err != nil {
				t.Error(err)
			}
		}
	}
	_, err := Run(context.Background(), o)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"file too large", "the checkpoint of step 6", "free some space", "and resume"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
