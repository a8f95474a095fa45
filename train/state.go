package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/adavit/adavit/vit"
)

// gatesTensor is the name of what is known of learnt gates, in the order of gateState.snapshot.
const gatesTensor = "gates"

// snapshot is the run as it stands: everything that steps change. But for the gates, its tensors are the run's own memory.
func (r *runner) snapshot() snapshot {
	s := snapshot{step: r.opt.step, recipe: r.Recipe, config: r.start, entry: r.entry,
		tensors: []stateTensor{{"weights", r.params.Data}, {"moment1", r.opt.m}, {"moment2", r.opt.v}, {"average", r.opt.average.Data}}}
	if r.opt.gates != nil {
		s.tensors = append(s.tensors, stateTensor{gatesTensor, r.opt.gates.snapshot()})
	}
	return s
}

// load reads a checkpoint into the run's memory. If it fails, that may hold anything.
func (r *runner) load(step int) (snapshot, error) {
	s := r.snapshot()
	path := checkpointPath(r.Dir, step)
	if err := s.read(path); err != nil {
		return s, err
	}
	if s.step != step {
		return s, fmt.Errorf("%s holds step %d", path, s.step)
	}
	if r.opt.gates == nil {
		return s, nil
	}
	if err := r.opt.restoreGates(r.params, s.tensors[len(s.tensors)-1].data); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// size is about what a checkpoint takes on disk, in bytes.
func (o *optimizer) size() int64 { return 4 * 4 * int64(len(o.m)) }

// save stores a checkpoint of the run as it stands. What the logs say of its steps is on disk before it. On a full disk older checkpoints than the newest
// whole one are given up before the save fails, at last the best one too, unless it is to become the model.
func (r *runner) save() error {
	err := r.steps.sync()
	if err == nil && r.Watch != nil {
		err = r.Watch.Sync()
	}
	if err != nil {
		return r.outOfRoom(err)
	}
	s := r.snapshot()
	for _, t := range s.tensors {
		if at := badIndex(t.data); at >= 0 {
			return fmt.Errorf("step %d left %s[%d] = %v, which is not saved; the checkpoint of step %d in %s is sound: try a lower learning rate (--resume --set lr=…)",
				s.step, t.name, at, t.data[at], r.saved, checkpointDir(r.Dir))
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
		return r.outOfRoom(err)
	}
	r.saved = r.opt.step
	return prune(r.Dir, r.Recipe.Checkpoints, bests(r.epochs))
}

// restore goes on from the newest whole checkpoint, if there is any. Damaged ones are passed over with a warning and removed: the run will write them
// again.
func (r *runner) restore() error {
	steps, err := savedSteps(r.Dir)
	if err != nil {
		return err
	}
	var faults []error
	for _, step := range steps {
		s, err := r.load(step)
		if unreadable := new(fs.PathError); errors.Is(err, errOtherRun) || errors.As(err, &unreadable) && !errors.Is(err, syscall.EIO) {
			return err // what cannot be opened now may be whole
		}
		if err != nil {
			r.Log.Warn("checkpoint passed over", "error", err)
			faults = append(faults, err)
			continue
		}
		r.opt.step, r.entry, r.saved = s.step, s.entry, s.step
		if changes := r.Recipe.changes(s.recipe); changes != "" {
			r.Log.Warn("the recipe is not the one that the run began with", "changed", changes)
		}
		r.Log.Info("resumed", "step", s.step)
		for _, damaged := range steps {
			if damaged > step {
				if err := os.Remove(checkpointPath(r.Dir, damaged)); err != nil {
					return fmt.Errorf("checkpoint: %w", err)
				}
			}
		}
		return nil
	}
	if len(faults) > 0 {
		return fmt.Errorf("none of the %d checkpoints in %s is whole; remove the folder to start anew: %w", len(faults), checkpointDir(r.Dir), errors.Join(faults...))
	}
	return nil
}

// continues reports whether a run of r can go on from a checkpoint that a run of before has written: what decides which images a step sees must
// be the same.
func (r Recipe) continues(before Recipe) error {
	for _, v := range []struct {
		name    string
		was, is any
	}{
		{"seed", before.Seed, r.Seed}, {"batch", before.Batch, r.Batch}, {"limit", before.Limit, r.Limit}, {"accumulate", before.Accumulate, r.Accumulate},
		{"repeats", before.Repeats, r.Repeats}, {"validation", before.Validation, r.Validation},
	} {
		if v.was != v.is {
			return fmt.Errorf("%s was %v, now it is %v, so its place in the data means nothing", v.name, v.was, v.is)
		}
	}
	return nil
}

// changes lists the values of r that differ from before's, as "lr 0.001 → 0.0005".
func (r Recipe) changes(before Recipe) string {
	var list []string
	is, was := reflect.ValueOf(r), reflect.ValueOf(before)
	for i := range is.NumField() {
		key, _, _ := strings.Cut(is.Type().Field(i).Tag.Get("json"), ",")
		if a, b := inJSON(was.Field(i)), inJSON(is.Field(i)); a != b && key != "description" {
			list = append(list, fmt.Sprintf("%s %s → %s", key, a, b))
		}
	}
	return strings.Join(list, ", ")
}

// inJSON is a recipe's value as a file has it.
func inJSON(v reflect.Value) string {
	text, err := json.Marshal(v.Interface())
	if err != nil { // a recipe that was validated can be written
		return err.Error()
	}
	return string(text)
}

// Averaged reports whether of the two, weights and moving average, the average tested better after this epoch, or as well.
func (e Entry) Averaged() bool { return e.TestEMA != nil && e.TestEMA["top1"] >= e.Test["top1"] }

// Kept are the test figures of the better ones of weights and moving average; nil where nothing was tested.
func (e Entry) Kept() map[string]float64 {
	if e.Averaged() {
		return e.TestEMA
	}
	return e.Test
}

// bests lists the steps of the epochs after which the kept weights tested better than after all before, rising.
func bests(epochs []Entry) []int {
	var steps []int
	best := 0.0
	for _, e := range epochs {
		if test := e.Kept(); test != nil && (steps == nil || test["top1"] > best) {
			steps, best = append(steps, e.Step), test["top1"]
		}
	}
	return steps
}

// keptWeights are those that become the model, and what training.json says of them.
type keptWeights struct {
	params *vit.Params
	entry  Entry
	what   string
}

// kept finds the weights that become the model: those of the last epoch, or with the recipe's keep = "best" of the one that tested best; of the two, raw
// and average, those that tested better.
func (r *runner) kept() (keptWeights, error) {
	var e Entry
	if n := len(r.epochs); n > 0 {
		e = r.epochs[n-1]
	}
	when := "of the last step"
	if list := bests(r.epochs); r.Recipe.Keep == KeepBest && len(list) > 0 && list[len(list)-1] != e.Step {
		step := list[len(list)-1]
		best := r.epochs[slices.IndexFunc(r.epochs, func(e Entry) bool { return e.Step == step })]
		// The run is over: its memory can take what the file holds.
		if _, err := r.load(step); err != nil {
			return keptWeights{}, fmt.Errorf("the best epoch's checkpoint: %w; --set keep=last takes the last epoch's weights", err)
		}
		e, when = best, fmt.Sprintf("after epoch %d, whose test top-1 was best", best.Epoch)
	} else if r.Recipe.Keep == KeepBest && e.Test != nil {
		when += ", whose test top-1 was best"
	}
	k := keptWeights{params: r.weights(e), entry: e, what: "weights " + when}
	if k.params == r.opt.average {
		k.what = "moving average " + when
	}
	if e.Test != nil && e.TestEMA != nil {
		k.what += fmt.Sprintf(" (test top-1 %.2f raw, %.2f averaged)", e.Test["top1"], e.TestEMA["top1"])
	}
	return k, nil
}
