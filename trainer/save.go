package trainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/weights"
)

// snapshot is the run as it stands: everything that steps change.
func (r *runner) snapshot() (snapshot, error) {
	state, err := r.backend.State()
	return snapshot{step: r.step, recipe: r.Recipe, config: r.start, data: r.census, origin: r.origin, entry: r.entry,
		tensors: state}, err
}

// load reads a checkpoint into the backend. If it fails, that may hold anything.
func (r *runner) load(step int) (snapshot, error) {
	s, err := r.snapshot()
	if err != nil {
		return s, err
	}
	path := checkpointPath(r.Dir, step)
	f, err := weights.ReadSafetensors(path)
	if err != nil {
		return s, err // names the file
	}
	if err = s.decode(f); err == nil && s.step != step {
		err = fmt.Errorf("it holds step %d", s.step)
	}
	if err == nil {
		err = r.backend.Restore(step, s.tensors)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return s, err
}

// save stores a checkpoint of the run as it stands. What the logs say of its steps is on disk before it. On a full
// disk older checkpoints than the newest whole one are given up before the save fails, at last the best one too,
// unless it is to become the model.
func (r *runner) save() error {
	if r.saved == r.step {
		return nil
	}
	if err := errors.Join(r.steps.Sync(), r.board.sync()); err != nil {
		return err
	}
	s, err := r.snapshot()
	if err != nil {
		return err
	}
	r.size = 0
	for _, t := range s.tensors {
		r.size += 4 * int64(len(t.Data))
		if at := kernels.FirstNotFinite(t.Data); at >= 0 {
			return fmt.Errorf("step %d left %s[%d] = %v, which is not saved; %s", s.step, t.Name, at, t.Data[at], r.sound())
		}
	}
	err = s.write(r.Dir)
	for _, spared := range [][]int{bests(r.epochs), nil} {
		if !full(err) || r.saved < 0 || spared == nil && r.Recipe.Keep == KeepBest {
			break
		}
		r.Log.Warn("no room for another checkpoint; older ones are removed", "error", err)
		if e := prune(r.Dir, 1, spared); e != nil {
			return e
		}
		err = s.write(r.Dir)
	}
	if err != nil {
		return err
	}
	r.saved = r.step
	return prune(r.Dir, r.Recipe.Checkpoints, bests(r.epochs))
}

// sound says what is left where a step went wrong.
func (r *runner) sound() string {
	return fmt.Sprintf("the checkpoint of step %d in %s is sound: resume from it with a lower lr",
		r.saved, checkpointDir(r.Dir))
}

// restore goes on from the newest whole checkpoint, if there is any. Damaged ones are passed over with a warning and
// removed: the run will write them again.
func (r *runner) restore() error {
	steps, err := savedSteps(r.Dir)
	if err != nil {
		return err
	}
	var faults []error
	for i, step := range steps {
		s, err := r.load(step)
		unreadable := new(fs.PathError)
		if errors.Is(err, errOtherRun) || errors.As(err, &unreadable) && !errors.Is(err, syscall.EIO) {
			return err // what cannot be opened now may be whole
		}
		if err != nil {
			r.Log.Warn("checkpoint passed over", "error", err)
			faults = append(faults, err)
			continue
		}
		r.step, r.entry, r.saved = s.step, s.entry, s.step
		end := r.Recipe.Epochs * r.perEpoch
		if r.step > end {
			return usage.Errorf("%s: the run has taken %d steps already, and epochs=%d would have ended it after %d: set more "+
				"epochs, or name another folder", r.Dir, r.step, r.Recipe.Epochs, end)
		}
		if changes := r.Recipe.changes(s.recipe); changes != "" {
			if r.step == end {
				if late := r.Recipe.changes(s.recipe, afterSteps...); late != "" {
					return usage.Errorf("%s: the run has taken all its steps, and none would know of %s: set more epochs, or name "+
						"another folder", r.Dir, late)
				}
			}
			r.Log.Warn("the recipe is not the one that the run had until now", "changed", changes)
		}
		r.Log.Info("resumed", "step", s.step)
		return remove(r.Dir, steps[:i])
	}
	if len(faults) > 0 {
		return fmt.Errorf("none of the %d checkpoints in %s is whole; remove the folder to start anew: %w",
			len(faults), checkpointDir(r.Dir), errors.Join(faults...))
	}
	return nil
}

// afterSteps are the values of a recipe that a run may still be given once it has taken its last step.
var afterSteps = []string{"epochs", "keep", "store", "ladder", "checkpoints", "checkpoint_steps", "log_steps",
	"damaged", "max_pixels", "precision"}

// continues reports whether a run of r can go on from a checkpoint that a run of before has written: what decides
// which images a step sees must be the same.
func (r Recipe) continues(before Recipe) error {
	was := before.values()
	var list []string
	for i, v := range r.values() {
		switch v.Name {
		case "seed", "batch", "limit", "accumulate", "repeats", "validation":
			if v.Value != was[i].Value {
				list = append(list, fmt.Sprintf("%s was %s, now it is %s", v.Name, was[i].Value, v.Value))
			}
		}
	}
	if list != nil {
		return fmt.Errorf("%s, so its place in the data means nothing", strings.Join(list, ", "))
	}
	return nil
}

// changes lists the values of r that differ from before's, as "lr 0.001 → 0.0005", but for those of some names.
func (r Recipe) changes(before Recipe, but ...string) string {
	var list []string
	was := before.values()
	for i, v := range r.values() {
		if v.Value != was[i].Value && !slices.Contains(but, v.Name) {
			list = append(list, fmt.Sprintf("%s %s → %s", v.Name, was[i].Value, v.Value))
		}
	}
	return strings.Join(list, ", ")
}

// full reports whether an error says that there is no room left for a file.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// outOfRoom says what to do where err is for want of room.
func (r *runner) outOfRoom(err error) error {
	if !full(err) {
		return err
	}
	have := "nothing is saved yet"
	if r.saved >= 0 {
		have = fmt.Sprintf("the checkpoint of step %d in %s is whole", r.saved, checkpointDir(r.Dir))
	}
	return fmt.Errorf("%w; %s. A checkpoint takes %.1f MB, and one more than are kept must fit: "+
		"free some space, or keep fewer (checkpoints=1), and resume", err, have, float64(r.size)/1e6)
}

// begun returns the recipe of the newest checkpoint in dir that can be read; ok is false if there is none.
func begun(dir string) (r Recipe, ok bool) {
	meta := newest(dir)
	ok = meta != nil && json.Unmarshal([]byte(meta["recipe"]), &r) == nil
	return r, ok
}

// newest is the metadata of the newest checkpoint in dir that is whole; nil if there is none.
func newest(dir string) map[string]string {
	steps, err := savedSteps(dir)
	if err != nil {
		return nil
	}
	for _, step := range steps {
		f, err := weights.ReadSafetensors(checkpointPath(dir, step))
		if err == nil && f.Metadata["sha256"] == checksum(f.Metadata, f.Tensors) {
			return f.Metadata
		}
	}
	return nil
}

// sinceBegun adds to what keeps a run from going on what has changed in its data since it began.
func sinceBegun(err error, now data.Parts, dir string) error {
	if changes, e := censusOf(now).since(newest(dir)["data"]); e == nil && changes != "" {
		return fmt.Errorf("the data set has changed since the run began: %s: %w", changes, err)
	}
	return err
}
