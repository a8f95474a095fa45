package train

import (
	"fmt"
	"math"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// Settings are what decides the steps of a run besides their batches and learning rates. In JSON they and the Loss are
// part of a recipe.
type Settings struct {
	WeightDecay float64 `json:"weight_decay"` // not on biases, norms, class and position tokens
	// LayerDecay is how much slower than the block above it each block learns, METHOD.md (43), so that fine-tuning keeps
	// what early blocks know; 0 = 1, all alike. Published for fine-tuning are 0.65 to 0.75 (BEiT, MAE).
	LayerDecay float64 `json:"layer_decay,omitempty"`
	Beta1      float64 `json:"beta1"` // AdamW's
	Beta2      float64 `json:"beta2"`
	ClipNorm   float64 `json:"clip_norm"` // largest norm of the whole gradient; 0 = no limit
	EMA        float64 `json:"ema"`       // decay of the averaged weights, which are what is kept; 0 = no averaging
	Loss               // Scale apart, which is the Stepper's own
	Precision  string  `json:"precision,omitempty"`  // of the blocks' products: F32, which is also "", or BF16
	LearnGate  bool    `json:"learn_gate,omitempty"` // the gate's scale and center are learnt too
	// tensors that keep their values: timm's names, or patterns as path.Match has them ("blocks.[0-5].*")
	Freeze []string `json:"freeze,omitempty"`
}

// Update asks for one step of the optimizer.
type Update struct {
	LR       float64
	Progress float64                       // of the run, from 0 to 1
	Parts    int                           // batches of one size that make it up; 0 = 1
	Batch    func(part int) (Batch, error) // called for each part in turn; what it gives is valid until the next call
}

// Tensor is a part of a Stepper's state.
type Tensor struct {
	Name string
	Data []float32
}

// NotFiniteError says that a step's loss or gradient is no finite number. Weights and moments are as they were.
type NotFiniteError struct {
	Loss, Norm float64 // Norm is NaN where the loss already was not finite
	Where      string  // the first bad tensor, in words
}

func (e *NotFiniteError) Error() string {
	return fmt.Sprintf("loss %v, gradient norm %v; %s", e.Loss, e.Norm, e.Where)
}

// Stepper trains on this machine's processor: forward and backward passes, clipping, AdamW and the moving average of
// the weights. It is not safe for concurrent use.
type Stepper struct {
	settings              Settings
	net                   *Network
	params, grad, average *vit.Params
	m, v                  []float32  // first and second moments, laid out as vit.Params.Data
	steps                 int        // taken
	frozen                []bool     // [tensors] those that keep their bits
	pace                  []float64  // [tensors] their rates, of the step's
	controller            Controller // with a budget
	gates                 Gates      // nil: not learnt
	slope                 [2]float32 // of the gates; a local one would escape
}

// NewStepper prepares to train params, which stay the caller's and change with every step.
func NewStepper(params *vit.Params, s Settings, threads int) (*Stepper, error) {
	net, err := newNetwork(params, s.Precision, threads)
	if err != nil {
		return nil, err
	}
	frozen, err := Frozen(params, s.Freeze)
	if err != nil {
		return nil, err
	}
	net.lowest = firstLearnt(params, frozen)
	o := &Stepper{settings: s, net: net, params: params, grad: vit.NewParams(params.Config), average: params.Clone(),
		m: make([]float32, len(params.Data)), v: make([]float32, len(params.Data)), frozen: frozen, pace: s.Pace(params)}
	if s.Budget > 0 {
		if !net.scheme.couples() {
			return nil, fmt.Errorf("train: halting scheme %q has no ponder cost that could keep to a budget",
				params.Config.Halting.Scheme)
		}
		o.controller = NewController()
	}
	if s.LearnGate {
		o.gates, err = NewGates(params.Config.Halting)
	}
	o.gates.Store(o.params, o.average)
	return o, err
}

// Step takes a step. If it fails, weights, moments and average are as they were.
func (s *Stepper) Step(u Update) (Stats, error) {
	loss, d := s.settings.Loss, Drawn{}
	if loss.Budget > 0 {
		d = s.controller.Draw(loss, s.steps, u.Progress)
		loss.Multiplier = d.Alpha
	}
	stats, size, err := s.passes(u, loss, d.Shifted(s.params.Config.Halting))
	if err != nil {
		return stats, err
	}
	stats.GradNorm = s.update(s.grad, u.LR)
	if !finite(stats.GradNorm) {
		return stats, &NotFiniteError{stats.Loss, stats.GradNorm, s.net.whereBad(s.grad, size)}
	}
	if loss.Budget > 0 {
		stats.Multiplier, stats.Target = d.Alpha, d.Target()
		s.controller.Observe(stats.MeanDepth/float64(s.params.Config.Layers), d)
	}
	return stats, nil
}

// passes leaves the gradient of a step's loss, the mean over its parts, in s.grad, and returns the size of a part. The
// gates' constants are with for so long.
func (s *Stepper) passes(u Update, loss Loss, with halting.Config) (stats Stats, size int, err error) {
	h := &s.params.Config.Halting
	keep := *h
	defer func() { *h = keep }()
	*h = with
	parts := max(u.Parts, 1)
	share := 1 / float64(parts)
	loss.Scale = share
	for part := range parts {
		b, err := u.Batch(part)
		if err != nil {
			return Stats{}, 0, err
		}
		pass, err := s.net.step(b, loss, s.grad, part > 0)
		if err != nil {
			return Stats{}, 0, err
		}
		size = b.Size
		stats.Add(pass, share)
		if !finite(pass.Loss) {
			return stats, size, &NotFiniteError{stats.Loss, math.NaN(), s.net.whereBad(s.grad, size)}
		}
	}
	return stats, size, nil
}

// Params returns the weights as they are and their moving average, both the Stepper's own.
func (s *Stepper) Params() (weights, average *vit.Params, err error) {
	return s.params, s.average, nil
}

// Gradient is that of the last step's loss; it is valid until the next.
func (s *Stepper) Gradient() *vit.Params { return s.grad }

// State is all that steps change, but for their number: weights, moment1, moment2 and average, each laid out as
// vit.Params.Data; controller [4] where there is a budget; and gates where they are learnt, 8 numbers: value, both
// moments and average of the scale, then of the center. All of it is the Stepper's own memory.
func (s *Stepper) State() ([]Tensor, error) {
	state := []Tensor{{"weights", s.params.Data}, {"moment1", s.m}, {"moment2", s.v}, {"average", s.average.Data}}
	if s.controller.State != nil {
		state = append(state, Tensor{"controller", s.controller.State})
	}
	if s.gates != nil {
		state = append(state, Tensor{"gates", s.gates})
	}
	return state, nil
}

// Restore brings back the state after so many steps. If it fails, the state may be anything.
func (s *Stepper) Restore(steps int, state []Tensor) error {
	own, err := s.State()
	if err != nil {
		return err
	}
	if err := Restore(own, state); err != nil {
		return err
	}
	s.gates.Store(s.params, s.average)
	s.steps = steps
	return nil
}

// Restore copies a saved state into a backend's own, whose tensors it must have, in their order.
func Restore(own, state []Tensor) error {
	if len(state) != len(own) {
		return fmt.Errorf("train: a state of %d tensors, want %d", len(state), len(own))
	}
	for i, t := range own {
		if state[i].Name != t.Name || len(state[i].Data) != len(t.Data) {
			return fmt.Errorf("train: state %s [%d], want %s [%d]", state[i].Name, len(state[i].Data), t.Name, len(t.Data))
		}
		copy(t.Data, state[i].Data)
		if at := kernels.FirstNotFinite(t.Data); at >= 0 {
			return fmt.Errorf("train: %s: %v", t.Name, t.Data[at])
		}
	}
	return nil
}

// Close ends the Stepper.
func (s *Stepper) Close() error { return nil }

// finite reports whether v is neither NaN nor infinite.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
