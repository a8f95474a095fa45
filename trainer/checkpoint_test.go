package trainer

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// tinySnapshot is a checkpoint of a model that hardly deserves the name.
func tinySnapshot() snapshot {
	c := vit.Config{Embed: 2, Heads: 1, Layers: 1, Hidden: 2, Height: 2, Width: 2, Patch: 2, Channels: 1, Classes: 2,
		Eps: 1e-6, Halting: halting.Dense()}
	r := DefaultRecipe()
	r.Seed, r.Batch = 3, 4
	return snapshot{step: 7, recipe: r, config: c,
		entry:   Entry{Epoch: 2, Step: 7, Line: Line{Stats: train.Stats{Loss: 1.0 / 3, LayerScores: []float64{0.1}}}},
		tensors: []train.Tensor{{Name: "weights", Data: []float32{1, 2, 3}}, {Name: "moment1", Data: []float32{4, 5, 6}}}}
}

// empty is s with zeros to be read into.
func (s snapshot) empty() snapshot {
	e := snapshot{recipe: s.recipe, config: s.config}
	for _, t := range s.tensors {
		e.tensors = append(e.tensors, train.Tensor{Name: t.Name, Data: make([]float32, len(t.Data))})
	}
	return e
}

// read reads the checkpoint of step 7 in dir.
func (s *snapshot) read(dir string) error {
	f, err := weights.ReadSafetensors(checkpointPath(dir, 7))
	if err != nil {
		return err
	}
	return s.decode(f)
}

func TestCheckpointRoundTrip(t *testing.T) {
	dir := t.TempDir()
	s := tinySnapshot()
	if err := s.write(dir); err != nil {
		t.Fatal(err)
	}
	got := s.empty()
	if err := got.read(dir); err != nil {
		t.Fatal(err)
	}
	if got.step != 7 || got.entry.Loss != s.entry.Loss || !slices.Equal(got.entry.LayerScores, s.entry.LayerScores) ||
		!slices.Equal(got.tensors[1].Data, s.tensors[1].Data) {
		t.Errorf("%+v, want %+v", got, s)
	}
	if entries, err := os.ReadDir(checkpointDir(dir)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: want one file", entries, err)
	}
}

// TestDamagedCheckpoint changes every byte of a checkpoint in turn, and cuts it off at every length: it is never taken
// for whole, nor for another run's.
func TestDamagedCheckpoint(t *testing.T) {
	dir := t.TempDir()
	s := tinySnapshot()
	if err := s.write(dir); err != nil {
		t.Fatal(err)
	}
	path := checkpointPath(dir, 7)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, at int, b []byte) {
		f, err := weights.ReadSafetensorsFrom("checkpoint", bytes.NewReader(b), int64(len(b)))
		if err == nil {
			got := s.empty()
			err = got.decode(f)
		}
		if err == nil {
			t.Fatalf("%s %d: taken for whole", what, at)
		}
		// Only a change of the key "version" itself makes it look like an older program's.
		if errors.Is(err, errOtherRun) && !strings.Contains(err.Error(), "an adavit that writes version") {
			t.Fatalf("%s %d: %v", what, at, err)
		}
	}
	for at := range whole {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 7)
		if string(b[at]) == " " || string(whole[at]) == " " && at < 8+int(whole[0])+int(whole[1])<<8 {
			continue // padding of the header means nothing
		}
		check("byte", at, b)
		check("cut at", at, whole[:at])
	}
}

// TestForeignCheckpoint: what is whole but belongs elsewhere is refused with the reason, and is not passed over.
func TestForeignCheckpoint(t *testing.T) {
	for want, change := range map[string]func(s *snapshot){
		"seed was 3, now it is 4":                func(s *snapshot) { s.recipe.Seed = 4 },
		"accumulate was 0, now it is 2":          func(s *snapshot) { s.recipe.Accumulate = 2 },
		"its model is":                           func(s *snapshot) { s.config.Heads = 2 },
		"tensor weights has shape [3], want [4]": func(s *snapshot) { s.tensors[0].Data = make([]float32, 4) },
		"tensor gates is missing": func(s *snapshot) {
			s.tensors = append(s.tensors, train.Tensor{Name: "gates", Data: make([]float32, 8)})
		},
	} {
		dir := t.TempDir()
		s := tinySnapshot()
		if err := s.write(dir); err != nil {
			t.Fatal(err)
		}
		got := s.empty()
		change(&got)
		err := got.read(dir)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if other := errors.Is(err, errOtherRun); other != !strings.HasPrefix(want, "tensor") {
			t.Errorf("%v: another run's: %v", err, other)
		}
	}
	// One of the first version, which had no such key.
	f := &weights.File{Metadata: map[string]string{"step": "1"}}
	s := tinySnapshot()
	if err := s.decode(f); !errors.Is(err, errOtherRun) {
		t.Errorf("an old file: %v", err)
	}
}

// FuzzCheckpoint: whatever the metadata say, reading a checkpoint neither fails to return nor takes what it should
// not.
func FuzzCheckpoint(f *testing.F) {
	s := tinySnapshot()
	recipe, _ := json.Marshal(s.recipe)
	f.Add("7", string(recipe), `{"epoch":1,"loss":0.25}`)
	f.Add("-1", "{}", "{}")
	f.Add("7", `{"seed":3,"batch":4,"halting":{"policy":"token"}}`, `{"test":{"top1":1e400}}`)
	config, _ := json.Marshal(s.config)
	f.Fuzz(func(t *testing.T, step, recipe, entry string) {
		file := &weights.File{Metadata: map[string]string{"version": checkpointVersion, "step": step,
			"recipe": recipe, "entry": entry, "config": string(config)}}
		for _, x := range s.tensors {
			file.Tensors = append(file.Tensors, weights.Float32Tensor(x.Name, []int{len(x.Data)}, x.Data))
		}
		file.Metadata["sha256"] = checksum(file.Metadata, file.Tensors)
		got := s.empty()
		if err := got.decode(file); err != nil {
			return
		}
		if got.step < 0 || got.recipe.Seed != 3 || got.recipe.Batch != 4 ||
			!slices.Equal(got.tensors[0].Data, s.tensors[0].Data) {
			t.Errorf("%+v from %q, %q, %q", got, step, recipe, entry)
		}
		for _, name := range slices.Sorted(maps.Keys(file.Metadata)) { // the sum covers every key
			if name == "sha256" {
				continue
			}
			changed := maps.Clone(file.Metadata)
			changed[name] += " "
			if checksum(changed, file.Tensors) == file.Metadata["sha256"] {
				t.Errorf("%s is not in the checksum", name)
			}
		}
	})
}

// TestPrune follows which files stay.
func TestPrune(t *testing.T) {
	for _, c := range []struct {
		steps []int
		keep  int
		bests []int
		want  []int
	}{
		{[]int{0, 10, 20, 30}, 2, nil, []int{30, 20}},
		{[]int{0, 10, 20, 30}, 1, []int{10}, []int{30, 10}},
		{[]int{0, 10, 20, 30}, 2, []int{10, 30}, []int{30, 20, 10}}, // 10 is the best that 20 knows of
		{[]int{0, 10, 20, 30}, 9, []int{10}, []int{30, 20, 10, 0}},
		{[]int{20, 30}, 1, []int{10}, []int{30}}, // the best is lost already
		{nil, 1, []int{10}, nil},
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(checkpointDir(dir), 0o777); err != nil {
			t.Fatal(err)
		}
		for _, step := range c.steps {
			if err := os.WriteFile(checkpointPath(dir, step), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		foreign := filepath.Join(checkpointDir(dir), "step-7.safetensors") // not a name of ours
		if err := os.WriteFile(foreign, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := prune(dir, c.keep, c.bests); err != nil {
			t.Fatal(err)
		}
		if got, err := savedSteps(dir); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v, %v", c, got, err)
		}
		if _, err := os.Stat(foreign); err != nil {
			t.Error("a file of another name is gone")
		}
	}
}

// TestFallBack damages checkpoints of a run: it goes on from the newest whole one, says so, and ends with the same
// weights; with none left it stops.
func TestFallBack(t *testing.T) {
	whole, broken := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "broken")
	if _, err := Run(t.Context(), stripesRun(t, whole)); err != nil {
		t.Fatal(err)
	}
	o := stripesRun(t, broken)
	o.Recipe.Epochs, o.Recipe.Checkpoints, o.Resume = 2, 3, true
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	spoil(t, checkpointPath(broken, 24))
	if err := os.Truncate(checkpointPath(broken, 12), 1000); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	o = stripesRun(t, broken)
	o.Resume, o.Log = true, slog.New(slog.NewTextHandler(&said, nil))
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(storedWeights(t, broken), storedWeights(t, whole)) {
		t.Error("other weights")
	}
	for _, want := range []string{"step-00000024.safetensors", "step-00000012.safetensors", "passed over",
		"changed=\"epochs 2 → 3, checkpoints 3 → 2\"", "step=0"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, &said)
		}
	}
	steps, err := savedSteps(broken)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		spoil(t, checkpointPath(broken, step))
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "none of the 2 checkpoints") {
		t.Errorf("all are damaged: %v", err)
	}
}
