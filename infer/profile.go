package infer

import "time"

// Activity is what a worker spends its time on.
type Activity int

// The activities, in the order of a block. Rounding to bf16 or int8 counts with what it follows: with Norm before qkv
// and fc1, and with FC1 after the GELU; before proj it counts with that.
const (
	Embed Activity = iota // cutting and embedding patches
	Norm
	QKV
	Attention
	Proj
	FC1
	FC2
	Halt       // scores, and taking tokens out
	Head       // final norm and heads
	Activities // how many there are
)

var activityNames = [Activities]string{"embed", "norm", "qkv", "attention", "proj", "fc1+gelu", "fc2", "halt", "head"}

func (a Activity) String() string { return activityNames[a] }

// Profile returns where the time of all runs went, summed up over the workers: [l][a] is what activity a took in block
// l (1-based), or outside of all blocks for l = 0; nil unless the engine has Options.Profile. Where workers share an
// image the leader's time alone is counted.
func (e *Engine) Profile() [][Activities]time.Duration {
	e.turn <- struct{}{}
	defer e.release()
	if !e.options.Profile {
		return nil
	}
	sum := make([][Activities]time.Duration, e.config.Layers+1)
	for _, w := range e.workers {
		for l, times := range w.spent {
			for a, d := range times {
				sum[l][a] += d
			}
		}
	}
	return sum
}

// spentOn books the time since the last call for an activity.
func (w *worker) spentOn(a Activity) {
	if w.spent != nil {
		now := time.Now()
		w.spent[w.chunk.layer][a] += now.Sub(w.clock)
		w.clock = now
	}
}
