//go:build unix

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTerminate asks a run that would take hours to end: SIGTERM and Ctrl-C save a checkpoint of all its steps within
// seconds and say how to go on. While it is at work no other run may enter its folder. The model's passes are long, so
// that the signal comes within one.
func TestTerminate(t *testing.T) {
	dir := t.TempDir()
	writeFixtures(t, dir)
	out := filepath.Join(dir, "out")
	args := []string{"train", "--recipe", "fashion-dense", "--set", "variant=fashion", "--data", filepath.Join(dir, "idx"),
		"--out", out, "--resume", "--threads", "1",
		"--set", "batch=48", "--set", "epochs=99999", "--set", "checkpoint_steps=1000000"}
	for i, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		before := newestCheckpoint(t, out)
		cmd := self(args...)
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		deadline := time.Now().Add(time.Minute)
		for newestCheckpoint(t, out) < before+2 { // an epoch is one step here
			if time.Now().After(deadline) {
				t.Fatalf("no checkpoint:\n%s", &output)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if i == 0 {
			text, err := self(args...).CombinedOutput()
			if err == nil || !strings.Contains(string(text), "another run is at work in "+out) {
				t.Errorf("a second run in the folder: %v\n%s", err, text)
			}
		}
		asked := time.Now()
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		if took := time.Since(asked); took > 5*time.Second {
			t.Errorf("%v: it took %v to end", signal, took)
		}
		if err == nil || cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(output.String(),
			"a checkpoint is saved, the same command with --resume goes on from it") {
			t.Errorf("%v: %v\n%s", signal, err, &output)
		}
	}
}
