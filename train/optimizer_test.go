package train

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/vit"
)

// usual are the settings that most recipes have.
var usual = Settings{WeightDecay: 0.05, Beta1: 0.9, Beta2: 0.999, ClipNorm: 1}

// optimize prepares to step p.
func optimize(t *testing.T, p *vit.Params, s Settings) *Stepper {
	t.Helper()
	o, err := NewStepper(p, s, 1)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// update takes some steps down a batch's gradient and returns the last step's norm.
func update(t *testing.T, o *Stepper, steps int) (norm float64) {
	t.Helper()
	for range steps {
		if _, err := o.net.Step(randomBatch(o.params.Config, 6, 1), someLoss, o.grad); err != nil {
			t.Fatal(err)
		}
		norm = o.update(o.grad, 0.01)
	}
	return norm
}

// TestFrozenTensorsKeepTheirBits: also in the average, and their gradient is no part of the norm.
func TestFrozenTensorsKeepTheirBits(t *testing.T) {
	p := tiny(3)
	before, grad := p.Clone(), vit.NewParams(p.Config)
	n, err := NewNetwork(p, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Step(randomBatch(p.Config, 6, 1), someLoss, grad); err != nil {
		t.Fatal(err)
	}
	s := usual
	s.EMA, s.Freeze = 0.5, []string{"blocks.[0-1].*", "*_embed*"}
	o := optimize(t, p, s)
	frozen := func(name string) bool {
		return strings.HasPrefix(name, "blocks.0.") || strings.HasPrefix(name, "blocks.1.") || name == "pos_embed" ||
			strings.HasPrefix(name, "patch_embed")
	}
	sum := 0.0
	for _, g := range grad.Tensors() {
		for _, v := range g.Data {
			if !frozen(g.Name) {
				sum += float64(v) * float64(v)
			}
		}
	}
	if norm := update(t, o, 1); math.Abs(norm-math.Sqrt(sum)) > 1e-5*norm {
		t.Errorf("the gradient's norm is %v, that of what is not frozen %v", norm, math.Sqrt(sum))
	}
	update(t, o, 2)
	was, average := before.Tensors(), o.average.Tensors()
	for i, now := range p.Tensors() {
		same, sameAverage := slices.Equal(now.Data, was[i].Data), slices.Equal(average[i].Data, was[i].Data)
		if same != frozen(now.Name) || sameAverage != frozen(now.Name) {
			t.Errorf("%s: weights kept %v, average kept %v, frozen %v", now.Name, same, sameAverage, frozen(now.Name))
		}
	}
}

func TestFreezeRefuses(t *testing.T) {
	p := tiny(3)
	for pattern, fault := range map[string]string{
		"blocks.9.*": "matches no tensor", // of 4
		"":           "matches no tensor",
		"Head.*":     "matches no tensor",
		"[":          "syntax error",
		"*":          "every tensor",
	} {
		_, err := NewStepper(p, Settings{Freeze: []string{"head.*", pattern}}, 1)
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("freeze %q: error %v, want one that says %q", pattern, err, fault)
		}
	}
	if _, err := NewStepper(p, Settings{Freeze: []string{}}, 1); err != nil {
		t.Errorf("no pattern at all: %v", err)
	}
}

// adamW is the step by its definition, for one number without decay.
func adamW(x, m, v, g, lr, beta1, beta2 float64, step int) (float64, float64, float64) {
	m, v = beta1*m+(1-beta1)*g, beta2*v+(1-beta2)*g*g
	mHat, vHat := m/(1-math.Pow(beta1, float64(step))), v/(1-math.Pow(beta2, float64(step)))
	return x - lr*mHat/(math.Sqrt(vHat)+1e-8), m, v
}

// TestLearntGates: the two constants take AdamW's steps down their own gradient, clipped with the others', reach the
// network, and the average follows.
func TestLearntGates(t *testing.T) {
	p := tiny(3)
	p.Config.Halting = p.Config.Halting.With("gate_scale", 3).With("gate_center", 0.5)
	r := usual
	r.EMA, r.ClipNorm, r.LearnGate = 0.5, 0.1, true
	o := optimize(t, p, r)
	n, grad := o.net, vit.NewParams(p.Config)
	scale, center, average := 3.0, 0.5, 3.0
	var m, v [2]float64
	for step := 1; step <= 3; step++ {
		if _, err := n.Step(randomBatch(p.Config, 6, 1), someLoss, grad); err != nil {
			t.Fatal(err)
		}
		ds, dc := n.gate.scale, n.gate.center
		if ds == 0 || dc == 0 {
			t.Fatalf("step %d: the gates' gradient is %v, %v", step, ds, dc)
		}
		norm := o.update(grad, 0.01)
		sum := ds*ds + dc*dc
		for _, g := range grad.Data {
			sum += float64(g) * float64(g)
		}
		if math.Abs(norm-math.Sqrt(sum)) > 1e-5*norm {
			t.Errorf("step %d: norm %v, want %v with the gates", step, norm, math.Sqrt(sum))
		}
		clip := min(1, r.ClipNorm/norm)
		scale, m[0], v[0] = adamW(scale, m[0], v[0], clip*ds, 0.01, r.Beta1, r.Beta2, step)
		center, m[1], v[1] = adamW(center, m[1], v[1], clip*dc, 0.01, r.Beta1, r.Beta2, step)
		average += (1 - min(r.EMA, float64(1+step)/float64(10+step))) * (scale - average)
		h, a := p.Config.Halting, o.average.Config.Halting
		if math.Abs(h.Number("gate_scale")-scale) > 1e-5 || math.Abs(h.Number("gate_center")-center) > 1e-5 ||
			math.Abs(a.Number("gate_scale")-average) > 1e-5 {
			t.Errorf("step %d: gates %v, %v, average %v; want %v, %v, %v", step, h.Number("gate_scale"),
				h.Number("gate_center"), a.Number("gate_scale"), scale, center, average)
		}
		if s, c := n.scheme.learner.Gate(); step > 1 && (s == 3 || c == 0.5) {
			t.Errorf("step %d: the network still has gates %v, %v", step, s, c)
		}
	}
}

// TestGatesGoOn: a stepper that starts from a state makes the bits that the first would have made.
func TestGatesGoOn(t *testing.T) {
	run := func(interrupt bool) (*vit.Params, *Stepper) {
		p, s := tiny(3), usual
		s.EMA, s.LearnGate = 0.9, true
		o := optimize(t, p, s)
		update(t, o, 3)
		if interrupt {
			state, err := o.State()
			if err != nil {
				t.Fatal(err)
			}
			p = tiny(3)
			o = optimize(t, p, s)
			if err := o.Restore(3, state); err != nil {
				t.Fatal(err)
			}
		}
		update(t, o, 3)
		return p, o
	}
	p, o := run(false)
	q, resumed := run(true)
	if !slices.Equal(p.Data, q.Data) || p.Config.Halting.String() != q.Config.Halting.String() ||
		!slices.Equal(o.gates, resumed.gates) ||
		o.average.Config.Halting.String() != resumed.average.Config.Halting.String() {
		t.Errorf("gates are %+v (%v), after a restart %+v (%v)", o.gates, p.Config.Halting, resumed.gates,
			q.Config.Halting)
	}
	for _, bad := range [][]float32{nil, make([]float32, 7), {1, 0, 0, 1, float32(math.NaN()), 0, 0, 1}} {
		state, err := o.State()
		if err != nil {
			t.Fatal(err)
		}
		state[4].Data = bad
		if err := resumed.Restore(3, state); err == nil {
			t.Errorf("gates %v were accepted", bad)
		}
	}
}

func TestLearnGatesRefuses(t *testing.T) {
	for name, scheme := range schemes {
		p := tiny(3)
		p.Config.Halting = scheme
		want := slices.Contains([]string{"token", "act", "sact", "ponder"}, scheme.Scheme)
		if _, err := NewStepper(p, Settings{LearnGate: true}, 1); (err == nil) != want {
			t.Errorf("%s: error %v", name, err)
		}
	}
	p := tiny(3)
	p.Config.Halting = p.Config.Halting.With("gate_scale", 0)
	if _, err := NewStepper(p, Settings{LearnGate: true}, 1); err == nil {
		t.Error("a gate that looks at nothing was accepted")
	}
	p, s := tiny(3), usual
	state, err := optimize(t, p, s).State()
	if err != nil {
		t.Fatal(err)
	}
	if err := optimize(t, p, s).Restore(1, append(state, Tensor{"gates", make([]float32, 8)})); err == nil {
		t.Error("gates that are not learnt were restored")
	}
}

// TestLayerDecay: AdamW's first step moves every weight by its rate, which is half as large with each block below.
func TestLayerDecay(t *testing.T) {
	p := tiny(3)
	before := p.Clone()
	s := usual
	s.WeightDecay, s.LayerDecay = 0, 0.5
	const lr = 0.01
	o, err := NewStepper(p, s, 2)
	if err != nil {
		t.Fatal(err)
	}
	batch := func(int) (Batch, error) { return randomBatch(p.Config, 6, 1), nil }
	if _, err := o.Step(Update{LR: lr, Batch: batch}); err != nil {
		t.Fatal(err)
	}
	was := before.Tensors()
	for i, now := range p.Tensors() {
		below := 0 // blocks between the tensor and the heads, the last norm's among them
		if block := 0; strings.HasSuffix(now.Name, "_token") || strings.HasSuffix(now.Name, "_embed") ||
			strings.HasPrefix(now.Name, "patch_embed") {
			below = len(p.Blocks) + 1
		} else if _, err := fmt.Sscanf(now.Name, "blocks.%d", &block); err == nil {
			below = len(p.Blocks) - block
		}
		moved, want := 0.0, lr*math.Pow(0.5, float64(below))
		for k, v := range now.Data {
			moved = max(moved, math.Abs(float64(v-was[i].Data[k])))
		}
		if moved < 0.9*want || moved > 1.01*want {
			t.Errorf("%s moved by %v, want %v", now.Name, moved, want)
		}
	}
}
