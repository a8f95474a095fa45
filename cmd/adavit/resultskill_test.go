package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestKillClassify kills classify --output with SIGKILL, the sooner the more often, and starts it again: every picture
// is in the table once, in order, as in the table of a run that nobody disturbed.
func TestKillClassify(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const pictures, kills = 3000, 8
	dir := t.TempDir()
	writeFixtures(t, dir)
	in := filepath.Join(dir, "in")
	if err := os.Mkdir(in, 0o777); err != nil {
		t.Fatal(err)
	}
	for i := range pictures {
		from := []string{"colour.png", "grey.png", "upright.png", "cut.png"}[i%4]
		if err := os.Link(filepath.Join(dir, from), filepath.Join(in, fmt.Sprintf("%04d.png", i))); err != nil {
			t.Skipf("no hard links here: %v", err)
		}
	}
	args := func(out string) []string {
		return []string{"classify", "--model", filepath.Join(dir, "micro"), "--threads", "2", "--json", "--output", out, in}
	}
	whole, broken := filepath.Join(dir, "whole.jsonl"), filepath.Join(dir, "broken.jsonl")
	if out, err := self(args(whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	landed, before := 0, 0
	for kill := 1; kill <= kills; kill++ {
		cmd := self(args(broken)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		for running := true; running; {
			select {
			case err := <-done: // sooner than it could be killed
				if err != nil {
					t.Fatal(err)
				}
				running = false
			case <-time.After(time.Millisecond):
				if n := journalled(broken); n > kill*pictures/(kills+1) {
					cmd.Process.Kill()
					if err := <-done; err != nil {
						landed++
					}
					if after := journalled(broken); after < before {
						t.Errorf("kill %d: %d pictures are kept of %d", kill, after, before)
					}
					running, before = false, n
				}
			}
		}
	}
	if landed < kills/2 {
		t.Errorf("only %d of %d kills came before the end", landed, kills)
	}
	if _, err := os.Stat(broken); err != nil {
		out, err := self(args(broken)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		var said classifiedInto
		if err := json.Unmarshal(out, &said); err != nil || said.Images != pictures || said.Failed != pictures/4 ||
			said.Resumed < before {
			t.Errorf("it says %s after %d pictures (%v)", out, before, err)
		}
	}
	want, got := resultLines(t, whole), resultLines(t, broken)
	if len(want) != pictures || !slices.Equal(want, got) {
		t.Errorf("%d pictures in the table, want %d, or others", len(got), len(want))
	}
	if left, _ := filepath.Glob(broken + ".*"); left != nil {
		t.Errorf("left over: %q", left)
	}
}

// journalled is how many pictures are in the journal of a table.
func journalled(path string) int {
	b, err := os.ReadFile(path + ".partial")
	if err != nil {
		return 0
	}
	return max(bytes.Count(b, []byte("\n"))-1, 0)
}

// resultLines are a table's lines without their times.
func resultLines(t *testing.T, path string) (list []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		delete(row, "milliseconds")
		clean, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(clean))
	}
	return list
}
