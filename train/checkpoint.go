package train

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// A checkpoint is one safetensors file, checkpoints/step-00000123.safetensors: weights, moments and average as flat tensors, and as metadata
// the step, the recipe, the architecture and a checksum. All randomness is drawn from (seed, epoch, image), so the step is the only cursor.

func checkpointDir(dir string) string { return filepath.Join(dir, "checkpoints") }

func (o *optimizer) save(dir string, p *vit.Params, r Recipe) error {
	recipe, err := json.Marshal(r)
	if err != nil {
		return err
	}
	config, err := json.Marshal(p.Config)
	if err != nil {
		return err
	}
	tensors := []weights.Tensor{
		weights.Float32Tensor("weights", []int{len(p.Data)}, p.Data),
		weights.Float32Tensor("moment1", []int{len(o.m)}, o.m),
		weights.Float32Tensor("moment2", []int{len(o.v)}, o.v),
		weights.Float32Tensor("average", []int{len(o.average.Data)}, o.average.Data),
	}
	meta := map[string]string{"step": strconv.Itoa(o.step), "recipe": string(recipe), "config": string(config), "sha256": checksum(tensors)}
	if err := os.MkdirAll(checkpointDir(dir), 0o777); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	path := filepath.Join(checkpointDir(dir), fmt.Sprintf("step-%08d.safetensors", o.step))
	if err := weights.WriteSafetensors(path, meta, tensors); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	found, err := checkpoints(dir)
	if err != nil {
		return err
	}
	for _, old := range found[min(r.Checkpoints, len(found)):] {
		if err := os.Remove(old); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	return nil
}

// restore loads the newest whole checkpoint of dir into o and p and reports whether there was one. A torn file is passed over with a warning.
func (o *optimizer) restore(dir string, p *vit.Params, r Recipe, log *slog.Logger) (bool, error) {
	found, err := checkpoints(dir)
	if err != nil {
		return false, err
	}
	for _, path := range found {
		err := o.read(path, p, r)
		if err == nil {
			return true, nil
		}
		if errors.Is(err, errOtherRun) {
			return false, err
		}
		log.Warn("checkpoint passed over", "file", path, "error", err)
	}
	if len(found) > 0 {
		return false, fmt.Errorf("none of the %d checkpoints in %s is whole; remove the folder to start anew", len(found), checkpointDir(dir))
	}
	return false, nil
}

var errOtherRun = errors.New("the checkpoint belongs to another run")

func (o *optimizer) read(path string, p *vit.Params, r Recipe) error {
	f, err := weights.ReadSafetensors(path)
	if err != nil {
		return err
	}
	step, err := strconv.Atoi(f.Metadata["step"])
	if err != nil || step < 0 {
		return fmt.Errorf("%s: step %q is not a number", path, f.Metadata["step"])
	}
	if f.Metadata["sha256"] != checksum(f.Tensors) {
		return fmt.Errorf("%s: checksum does not match its content", path)
	}
	want, err := json.Marshal(p.Config)
	if err != nil {
		return err
	}
	if f.Metadata["config"] != string(want) {
		return fmt.Errorf("%s: %w: its architecture is %s, this run's is %s", path, errOtherRun, f.Metadata["config"], want)
	}
	var before Recipe
	if err := json.Unmarshal([]byte(f.Metadata["recipe"]), &before); err != nil {
		return fmt.Errorf("%s: recipe: %w", path, err)
	}
	if before.Seed != r.Seed || before.Batch != r.Batch || before.Limit != r.Limit {
		return fmt.Errorf("%s: %w: seed, batch and limit were %d, %d, %d, now they are %d, %d, %d, so its place in the data means nothing",
			path, errOtherRun, before.Seed, before.Batch, before.Limit, r.Seed, r.Batch, r.Limit)
	}
	for _, t := range []struct {
		name string
		dst  []float32
	}{{"weights", p.Data}, {"moment1", o.m}, {"moment2", o.v}, {"average", o.average.Data}} {
		tensor, ok := f.Get(t.name)
		if !ok {
			return fmt.Errorf("%s: tensor %s is missing", path, t.name)
		}
		values, err := tensor.Float32s()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(values) != len(t.dst) {
			return fmt.Errorf("%s: tensor %s has %d values, want %d", path, t.name, len(values), len(t.dst))
		}
		copy(t.dst, values)
	}
	o.step = step
	return nil
}

// checkpoints lists the checkpoint files of dir, newest first.
func checkpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(checkpointDir(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	var found []string
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, "step-") && strings.HasSuffix(name, ".safetensors") {
			found = append(found, filepath.Join(checkpointDir(dir), name))
		}
	}
	slices.Sort(found)
	slices.Reverse(found)
	return found, nil
}

func checksum(tensors []weights.Tensor) string {
	tensors = slices.SortedFunc(slices.Values(tensors), func(a, b weights.Tensor) int { return strings.Compare(a.Name, b.Name) })
	h := sha256.New()
	for _, t := range tensors {
		h.Write([]byte(t.Name))
		h.Write(t.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}
