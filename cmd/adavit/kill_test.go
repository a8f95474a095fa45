package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/adavit/adavit/weights"
)

// TestKillLoop kills a training run with SIGKILL at random moments and resumes it each time: in the end weights,
// moments, average, learnt gates, logs and TensorBoard's events are those of a run that nobody disturbed. ADAVIT_KILLS
// says how many times (10 if it is not set).
func TestKillLoop(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	kills := 10
	if text := os.Getenv("ADAVIT_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("ADAVIT_KILLS=%q is no number of kills", text)
		}
		kills = n
	}
	dir := t.TempDir()
	writeFixtures(t, dir)
	steps := 6 * kills // an epoch for each
	args := func(out string) []string {
		return []string{"train", "--recipe", filepath.Join(dir, "recipe.json"), "--data", filepath.Join(dir, "idx"), "--out",
			out, "--resume", "--threads", "2",
			"--set", "epochs=" + strconv.Itoa(steps/6), "--set", "batch=8", "--set", "accumulate=2", "--set",
			"checkpoint_steps=2", "--set", "log_steps=1", "--set", "keep=best",
			"--set", `halting={"policy":"token","gate_scale":2,"gate_center":1}`, "--set", "learn_gate=true", "--set",
			"alpha_ponder=0.01", "--set", "alpha_prior=0.1",
			"--set", "target_layer=1", "--set", "drop_path=0.1", "--set", "mix.mixup=0.4", "--set", "repeats=2"}
	}
	whole, broken := filepath.Join(dir, "whole"), filepath.Join(dir, "broken")
	begin := time.Now()
	if out, err := self(args(whole)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	undisturbed := time.Since(begin)

	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("an undisturbed run takes %v; seed %d", undisturbed.Round(time.Millisecond), seed)
	// Lives are uniform between nothing and a limit that is moved so that the run ends soon after the last kill.
	limit := 300 * time.Millisecond
	landed, unfinished := 0, 0
	for landed < kills {
		cmd := self(args(broken)...)
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done: // sooner than it could be killed
			if err != nil {
				t.Fatalf("after %d kills: %v\n%s", landed, err, &output)
			}
			limit = limit * 3 / 4
		case <-time.After(time.Duration(random.Int64N(int64(limit)))):
			cmd.Process.Kill()
			if err := <-done; err == nil {
				continue
			}
			landed++
			at := newestCheckpoint(t, broken)
			if at < steps {
				unfinished++
			}
			if ahead := float64(at)/float64(steps) - float64(landed)/float64(kills); ahead > 0 {
				limit = max(limit*9/10, 20*time.Millisecond)
			} else {
				limit = min(limit*11/10, 2*time.Second)
			}
		}
	}
	if out, err := self(args(broken)...).CombinedOutput(); err != nil {
		t.Fatalf("after %d kills: %v\n%s", landed, err, out)
	}
	t.Logf("%d kills, %d of them before the last step", landed, unfinished)
	if unfinished < kills/2 {
		t.Errorf("only %d of %d kills came before the last step", unfinished, kills)
	}
	sameRuns(t, whole, broken, steps)
}

// self is this program as a command.
func self(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Args[0] = "adavit" // TestMain goes by it
	return cmd
}

// newestCheckpoint is the largest step that a run has saved, −1 before the first.
func newestCheckpoint(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "checkpoints"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	newest := -1
	for _, e := range entries {
		var step int
		if _, err := fmt.Sscanf(e.Name(), "step-%d.safetensors", &step); err == nil {
			newest = max(newest, step)
		}
	}
	return newest
}

// sameRuns compares two finished runs bit for bit, clocks apart.
func sameRuns(t *testing.T, want, got string, steps int) {
	t.Helper()
	read := func(dir, name string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, name := range []string{"model.safetensors", "config.json", "preprocessor_config.json"} {
		if !bytes.Equal(read(want, name), read(got, name)) {
			t.Errorf("%s differs", name)
		}
	}
	for _, name := range []string{"log.jsonl", "steps.jsonl"} {
		a, b := lines(t, read(want, name)), lines(t, read(got, name))
		if !slices.Equal(a, b) {
			t.Errorf("%s has %d lines, want %d, or they differ:\n%s\nwant\n%s", name, len(b), len(a), strings.Join(b, "\n"),
				strings.Join(a, "\n"))
		}
	}
	last := fmt.Sprintf("checkpoints/step-%08d.safetensors", steps)
	a, err := weights.ReadSafetensors(filepath.Join(want, last))
	if err != nil {
		t.Fatal(err)
	}
	b, err := weights.ReadSafetensors(filepath.Join(got, last))
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Tensors) != 5 {
		t.Errorf("%d tensors in a checkpoint", len(a.Tensors))
	}
	for _, tensor := range a.Tensors {
		if other, _ := b.Get(tensor.Name); !bytes.Equal(tensor.Data, other.Data) {
			t.Errorf("the last checkpoint's %s differ", tensor.Name)
		}
	}
	told, again := events(t, want), events(t, got)
	if !slices.Equal(told, again) {
		t.Errorf("TensorBoard is told %d values, want %d, or others", len(again), len(told))
	}
	for _, tag := range []string{"step/loss", "step/learning_rate", "epoch/loss_prior", "test/top1", "validation/top5",
		"test_average/mean_depth", "score/block_01", "tokens", "tokens/depth"} {
		if !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, " "+tag+" ") }) {
			t.Errorf("TensorBoard is not told %s", tag)
		}
	}
	var left []string
	err = filepath.WalkDir(got, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".tmp") {
			left = append(left, path)
		}
		return err
	})
	if err != nil || left != nil {
		t.Errorf("left over: %q, %v", left, err)
	}
}

// clocks are the keys of what depends on the time that something took.
var clocks = []string{"seconds", "images_per_second"}

// lines are the objects of a log without their clocks.
func lines(t *testing.T, text []byte) (list []string) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var object map[string]any
		if err := json.Unmarshal(line, &object); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for _, part := range []any{object, object["test"], object["test_ema"], object["validation"],
			object["validation_ema"]} {
			for _, key := range clocks {
				if m, ok := part.(map[string]any); ok {
					delete(m, key)
				}
			}
		}
		clean, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(clean))
	}
	return list
}

// events lists what a run has told TensorBoard, as "step tag value" in hexadecimal, clocks left out, sorted.
func events(t *testing.T, dir string) (list []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "tensorboard", "*tfevents*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no event files: %v", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for len(b) > 0 { // records: length, its checksum, content, its checksum
			n := int(binary.LittleEndian.Uint64(b))
			if len(b) < n+16 {
				t.Fatalf("%s ends within a record", name)
			}
			event := fields(t, b[12:12+n])
			b = b[n+16:]
			for _, summary := range event[5] {
				for _, value := range fields(t, summary)[1] {
					tag := string(fields(t, value)[1][0])
					if !strings.HasSuffix(tag, clocks[1]) {
						list = append(list, fmt.Sprintf("%x %s %x", event[2], tag, value))
					}
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

// fields splits a protobuf message into the contents of its fields by their numbers.
func fields(t *testing.T, b []byte) map[protowire.Number][][]byte {
	t.Helper()
	found := map[protowire.Number][][]byte{}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		content := b[:n]
		if kind == protowire.BytesType {
			content, _ = protowire.ConsumeBytes(b)
		}
		found[number], b = append(found[number], content), b[n:]
	}
	return found
}
