package trainer

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// A checkpoint is one safetensors file, checkpoints/step-00000123.safetensors: the backend's state as flat tensors,
// and as metadata the step, the recipe, the architecture, what the data are and what the run began with, the sums of
// the epoch under way, and a checksum over all of it. All randomness is drawn from (seed, epoch, image) or (seed,
// step), so the step is the only cursor. A file appears whole or not at all.

// checkpointVersion changes when an old program could misread a new file, or a new one an old file.
const checkpointVersion = "2"

func checkpointDir(dir string) string { return filepath.Join(dir, "checkpoints") }

// checkpointPath is the file of a step.
func checkpointPath(dir string, step int) string {
	return filepath.Join(checkpointDir(dir), fmt.Sprintf("step-%08d.safetensors", step))
}

// errOtherRun marks a checkpoint that is whole, but not one that this run could have written.
var errOtherRun = errors.New("the checkpoint belongs to another run")

// snapshot is what a checkpoint holds.
type snapshot struct {
	step    int
	recipe  Recipe
	config  vit.Config
	data    census // of the run's parts
	origin  origin
	entry   Entry // of the epoch under way, as far as it has come; of a finished one, whole but for what is measured
	tensors []train.Tensor
}

// write stores the snapshot for its step.
func (s snapshot) write(dir string) error {
	meta := map[string]string{"version": checkpointVersion, "step": strconv.Itoa(s.step)}
	for key, value := range map[string]any{"recipe": s.recipe, "config": s.config, "entry": s.entry,
		"data": s.data, "origin": s.origin} {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("checkpoint: %s: %w", key, err)
		}
		meta[key] = string(text)
	}
	tensors := make([]weights.Tensor, len(s.tensors))
	for i, t := range s.tensors {
		tensors[i] = weights.Float32Tensor(t.Name, []int{len(t.Data)}, t.Data)
	}
	meta["sha256"] = checksum(meta, tensors)
	err := os.MkdirAll(checkpointDir(dir), 0o777)
	if err == nil {
		err = weights.WriteSafetensors(checkpointPath(dir, s.step), meta, tensors)
	}
	if err != nil {
		err = fmt.Errorf("checkpoint: %w", err)
	}
	return err
}

// decode fills s.tensors, step and entry from a file, whose recipe and architecture must agree with those of s as far
// as its place in the data and the meaning of its numbers depend on them. If it fails, s.tensors may hold anything.
func (s *snapshot) decode(f *weights.File) error {
	version, known := f.Metadata["version"]
	if known && f.Metadata["sha256"] != checksum(f.Metadata, f.Tensors) {
		return errors.New("checksum does not match its content")
	}
	if version != checkpointVersion {
		return fmt.Errorf("%w: an adavit that writes version %.20q made it, this one reads %s",
			errOtherRun, version, checkpointVersion)
	}
	step, err := strconv.Atoi(f.Metadata["step"])
	if err != nil || step < 0 {
		return fmt.Errorf("step %.40q is not a number", f.Metadata["step"])
	}
	var before Recipe
	var entry Entry
	for key, into := range map[string]any{"recipe": &before, "entry": &entry} {
		if err := json.Unmarshal([]byte(f.Metadata[key]), into); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	if n := len(entry.LayerScores); n != 0 && n != s.config.Layers {
		return fmt.Errorf("entry: scores of %d blocks, want %d", n, s.config.Layers)
	}
	changes, err := s.data.since(f.Metadata["data"])
	if err != nil {
		return err
	}
	if err := s.recipe.continues(before); err != nil {
		if changes != "" {
			err = fmt.Errorf("%w; the data that it sees: %s", err, changes)
		}
		return fmt.Errorf("%w: %w", errOtherRun, err)
	}
	if changes != "" {
		return fmt.Errorf("%w, or the data set has changed since: %s; bring it back as it was, or begin anew in another "+
			"folder", errOtherRun, changes)
	}
	config, err := json.Marshal(s.config)
	if err != nil {
		return err
	}
	if changed, err := strictjson.Differences([]byte(f.Metadata["config"]), config); err != nil || changed != "" {
		return fmt.Errorf("%w: its model is another one: %s", errOtherRun, cmp.Or(changed, f.Metadata["config"]))
	}
	switch changed, err := s.origin.since(f.Metadata["origin"]); {
	case err != nil:
		return err
	case changed != "":
		return fmt.Errorf("%w: %s; or begin anew in another folder", errOtherRun, changed)
	}
	for _, t := range s.tensors {
		tensor, ok := f.Get(t.Name)
		if !ok {
			return fmt.Errorf("tensor %s is missing", t.Name)
		}
		if n, err := tensor.Len(); err != nil || n != len(t.Data) {
			return fmt.Errorf("tensor %s has shape %v, want [%d]", t.Name, tensor.Shape, len(t.Data))
		}
		if err := tensor.CopyFloat32s(t.Data); err != nil {
			return err
		}
	}
	s.step, s.entry, s.recipe = step, entry, before
	return nil
}

// checksum covers metadata, names, types, shapes and content.
func checksum(meta map[string]string, tensors []weights.Tensor) string {
	h := sha256.New()
	put := func(text string) { // with its length, so that two texts cannot be mistaken for two others
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text))))
		io.WriteString(h, text)
	}
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		if key != "sha256" {
			put(key)
			put(meta[key])
		}
	}
	byName := func(a, b weights.Tensor) int { return cmp.Compare(a.Name, b.Name) }
	for _, t := range slices.SortedFunc(slices.Values(tensors), byName) {
		put(t.Name)
		put(string(t.DType))
		put(fmt.Sprint(t.Shape))
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(t.Data))))
		h.Write(t.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// savedSteps lists the steps that dir has checkpoint files of, newest first.
func savedSteps(dir string) ([]int, error) {
	entries, err := os.ReadDir(checkpointDir(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	var steps []int
	for _, e := range entries {
		var step int
		fmt.Sscanf(e.Name(), "step-%d", &step)
		if step >= 0 && filepath.Base(checkpointPath(dir, step)) == e.Name() {
			steps = append(steps, step)
		}
	}
	slices.SortFunc(steps, func(a, b int) int { return b - a })
	return steps, nil
}

// prune removes all checkpoints but the newest keep, and for each of these the best one that it knows of: bests lists
// the steps of checkpoints that were better than all before them, rising. So a run that falls back past torn files
// still finds the best of its past.
func prune(dir string, keep int, bests []int) error {
	steps, err := savedSteps(dir)
	if err != nil {
		return err
	}
	wanted := slices.Clone(steps[:min(keep, len(steps))])
	for _, step := range wanted {
		if n, _ := slices.BinarySearch(bests, step+1); n > 0 {
			wanted = append(wanted, bests[n-1])
		}
	}
	return remove(dir, slices.DeleteFunc(steps, func(step int) bool { return slices.Contains(wanted, step) }))
}

// remove removes the checkpoints of some steps.
func remove(dir string, steps []int) error {
	for _, step := range steps {
		if err := os.Remove(checkpointPath(dir, step)); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	return nil
}
