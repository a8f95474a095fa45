package infer

import "time"

// Activity is what a worker spends its time on.
type Activity int

// The activities, in the order of a block. Rounding to bf16 or int8 counts with what it follows: with Norm before qkv
// and fc1, with Attention before proj, and with FC2 after the GELU, which itself counts with FC1.
const (
	Embed Activity = iota // cutting and embedding patches
	Norm
	QKV
	Attention
	Proj
	FC1
	FC2
	Halt // scores, and taking tokens out
	Head // final norm and heads
	activities
)

var activityNames = [activities]string{"embed", "norm", "qkv", "attention", "proj", "fc1+gelu", "fc2", "halt", "head"}

func (a Activity) String() string { return activityNames[a] }

// Activities lists all of them.
func Activities() []Activity {
	list := make([]Activity, activities)
	for i := range list {
		list[i] = Activity(i)
	}
	return list
}

// Profile is where the time of an engine's runs went: Time[l][a] is what activity a took in block l (1-based), or
// outside of all blocks for l = 0.
type Profile struct {
	Time [][]time.Duration // [L+1][activities]
}

// Profile sums up all workers since the engine was made. It is nil unless the engine has Options.Profile. Where workers
// share an image the leader's time alone is counted.
func (e *Engine) Profile() *Profile {
	e.turn <- struct{}{}
	defer e.release()
	if !e.options.Profile {
		return nil
	}
	p := &Profile{Time: make([][]time.Duration, e.config.Layers+1)}
	for l := range p.Time {
		p.Time[l] = make([]time.Duration, activities)
		for _, w := range e.workers {
			if w.spent == nil {
				continue
			}
			for a, d := range w.spent[l] {
				p.Time[l][a] += d
			}
		}
	}
	return p
}

// begin starts the clock of a pass.
func (w *worker) begin() {
	if w.engine.options.Profile {
		if w.spent == nil {
			w.spent = make([][activities]time.Duration, w.engine.config.Layers+1)
		}
		w.clock = time.Now()
	}
}

// spentOn books the time since the last call for an activity.
func (w *worker) spentOn(a Activity) {
	if w.spent != nil {
		now := time.Now()
		w.spent[w.chunk.layer][a] += now.Sub(w.clock)
		w.clock = now
	}
}
