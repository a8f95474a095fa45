package xla

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// open returns so many devices of the plugin that PluginVariable names, and skips the test without one, or where it has
// fewer. A plugin's devices are the same for all tests.
func open(t testing.TB, count int) *Devices {
	t.Helper()
	if os.Getenv(PluginVariable) == "" {
		t.Skipf("no PJRT plugin: run xla/plugin.sh and set %s to the file that it names", PluginVariable)
	}
	opened.Lock()
	defer opened.Unlock()
	for _, n := range []int{1, count} { // of one it can be asked how many there are
		if one := opened.devices[1]; one != nil && !one.host && int(one.backend.NumDevices()) < n {
			t.Skipf("there are not %d devices", n)
		}
		if opened.devices[n] == nil {
			d, err := Open("", n)
			if err != nil {
				t.Fatal(err)
			}
			opened.devices[n] = d
		}
	}
	return opened.devices[count]
}

var opened = struct {
	sync.Mutex
	devices map[int]*Devices
}{devices: map[int]*Devices{}}

// problem is a model with a batch and a loss.
type problem struct {
	params   *vit.Params
	settings train.Settings
	batch    train.Batch
}

// tokenScheme halts the tokens of problem's models at many depths.
var tokenScheme = halting.Config{Scheme: "token"}.With("gate_scale", 3).With("gate_center", 0.6)

// newProblem draws a model of the given scheme and what it is to learn of a batch of 8 images.
func newProblem(scheme halting.Config, change func(*vit.Config)) problem {
	const images = 8
	c := vit.Config{Embed: 24, Heads: 2, Layers: 4, Hidden: 40, Height: 16, Width: 20, Patch: 4, Channels: 2, Classes: 3,
		Eps: 1e-6, Halting: scheme}
	if change != nil {
		change(&c)
	}
	r := rand.New(rand.NewPCG(2, 3))
	pixels := normal(r, images*c.ImageLen())
	b := train.Batch{Size: images, Seed: 7, Load: func(i int, dst []float32) error {
		copy(dst, pixels[i*c.ImageLen():])
		return nil
	}}
	for range images {
		b.Labels = append(b.Labels, int32(r.IntN(c.Classes)))
	}
	return problem{vit.Initialize(c, 1, 0.25), train.Settings{WeightDecay: 0.05, Beta1: 0.9, Beta2: 0.999, ClipNorm: 1,
		EMA: 0.99, Loss: train.Loss{LabelSmoothing: 0.1, TargetLayer: 3, AlphaPonder: 0.01, AlphaPrior: 0.1}}, b}
}

func normal(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// teach gives the problem a teacher.
func (p *problem) teach(mode string, alpha, tokens float64) {
	r, c := rand.New(rand.NewPCG(4, 5)), p.params.Config
	p.settings.Distill = &train.Distill{Model: "init", Mode: mode, Alpha: alpha, Temperature: 2, Tokens: tokens}
	p.batch.Teacher = normal(r, p.batch.Size*c.Classes)
	if tokens > 0 {
		p.batch.TeacherTokens = normal(r, p.batch.Size*c.Readouts().Inputs()*c.Embed)
	}
}

// problems are what a graph has cases for, by name.
func problems() map[string]problem {
	dense := halting.Dense()
	credit, exit := tokenScheme.With("credit", 1), tokenScheme.With("credit", 1).With("exit", 0.9)
	list := map[string]problem{}
	add := func(name string, scheme halting.Config, shape func(*vit.Config), change func(*problem)) {
		p := newProblem(scheme, shape)
		if change != nil {
			change(&p)
		}
		list[name] = p
	}
	distilled := func(d vit.Distillation) func(*vit.Config) { return func(c *vit.Config) { c.Distillation = d } }
	pooled := func(p vit.Pooling, registers int) func(*vit.Config) {
		return func(c *vit.Config) { c.Pooling, c.Registers = p, registers }
	}
	add("dense", dense, nil, nil)
	add("dense, drop path, targets", dense, nil, func(p *problem) {
		p.settings.DropPath = 0.3
		for i := range p.batch.Size {
			p.batch.Targets = append(p.batch.Targets, 0.2, 0.7-float32(i)/20, 0.1+float32(i)/20)
		}
	})
	add("dense, class and mean", dense, pooled(vit.ClassAndMean, 2), nil)
	add("token", tokenScheme, nil, nil)
	add("token, reverse prior of another shape", tokenScheme, nil, func(p *problem) {
		p.settings.ReversePrior, p.settings.PriorShape, p.settings.PriorDeviation = true, train.PriorLaplace, 2
	})
	add("token, two heads, soft teacher", tokenScheme, distilled(vit.DistillHead), func(p *problem) {
		p.teach(train.DistillSoft, 0.4, 0.2)
	})
	add("token, distillation token, hard teacher", tokenScheme, distilled(vit.DistillToken), func(p *problem) {
		p.teach(train.DistillHard, 0.4, 0)
	})
	add("credit, drop path", credit, nil, func(p *problem) { p.settings.DropPath = 0.2 })
	add("credit, registers", credit, pooled(vit.ClassToken, 3), nil)
	add("credit, registers halt", credit.With("registers_halt", true), pooled(vit.ClassToken, 3), nil)
	add("credit, mean", credit, pooled(vit.Mean, 1), nil)
	add("credit, normed mean alone", credit, func(c *vit.Config) { c.Pooling, c.NoClassToken = vit.NormedMean, true }, nil)
	add("exit, budget, teacher's tokens", exit, nil, func(p *problem) {
		p.settings.DeepSupervision, p.settings.Budget, p.settings.BudgetSpread = 0.5, 0.5, 0.2
		p.settings.CenterSpread, p.settings.AlphaPrior, p.settings.AlphaPonder = 1, 0, 0
		p.teach("", 0, 0.3)
	})
	add("exit, two heads", exit, distilled(vit.DistillHead), nil)
	add("exit, mean", exit, pooled(vit.Mean, 1), nil)
	add("exit, class and mean, registers", exit, pooled(vit.ClassAndMean, 2), func(p *problem) {
		p.teach(train.DistillSoft, 0.5, 0.3)
	})
	return list
}

// update is a step of the problem late in a run, where a budget has come into its own.
func (p problem) update(parts int) train.Update {
	return train.Update{LR: 1e-3, Progress: 0.5, Parts: parts,
		Batch: func(int) (train.Batch, error) { return p.batch, nil }}
}

// clone has parameters of its own.
func (p problem) clone() problem {
	p.params = p.params.Clone()
	return p
}

// largest difference of two slices, as a share of the norm of the second.
func apart(a, b []float32) float64 {
	diff, norm := 0.0, 0.0
	for i := range b {
		d := float64(a[i]) - float64(b[i])
		diff += d * d
		norm += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(diff) / math.Max(math.Sqrt(norm), 1e-12)
}

// most is how far figures of the two engines on the same weights may be apart, as a share of them.
const most = 1e-5

// compare holds figures against each other: so far apart may they be, as a share of them.
func compare(t *testing.T, got, want train.Stats, most float64) {
	t.Helper()
	g, w := got.Means(), want.Means()
	for i := range w {
		if math.Abs(*g[i]-*w[i]) > most*math.Max(math.Abs(*w[i]), 0.01) {
			t.Errorf("figure %d is %v, want %v", i, *g[i], *w[i])
		}
	}
	if got.Correct != want.Correct {
		t.Errorf("%d correct, want %d", got.Correct, want.Correct)
	}
}

// TestParity: figures, depths and every tensor's gradient are those of our own engine, on one device and several.
func TestParity(t *testing.T) {
	list := problems()
	for _, name := range slices.Sorted(maps.Keys(list)) {
		t.Run(name, func(t *testing.T) {
			depth := parity(t, list[name], 1, Options{}).MeanDepth
			if list[name].params.Config.Halting.Adaptive() && (depth < 1.5 || depth > 3.9) {
				t.Errorf("mean depth %v: the test shows little", depth)
			}
		})
	}
	for _, devices := range []int{2, 4} {
		for _, name := range []string{"dense, drop path, targets", "credit, drop path", "exit, budget, teacher's tokens"} {
			t.Run(fmt.Sprintf("%d devices/%s", devices, name), func(t *testing.T) {
				if testing.Short() {
					t.Skip("takes a while")
				}
				parity(t, list[name], devices, Options{})
			})
		}
	}
}

// TestShutGates: a prior over scores as small as those of a model that begins to learn has its gradient.
func TestShutGates(t *testing.T) {
	shut := halting.Config{Scheme: "token"}.With("gate_scale", 1).With("gate_center", 75)
	st := parity(t, newProblem(shut, nil), 1, Options{})
	if slices.Max(st.LayerScores) > 1e-25 || st.Prior == 0 {
		t.Errorf("scores %v, prior %v: the test shows little", st.LayerScores, st.Prior)
	}
}

// TestRemat: what is computed again is what it was.
func TestRemat(t *testing.T) { parity(t, problems()["credit, drop path"], 1, Options{Remat: true}) }

// parity compares a pass of a stepper, which prepare may change before, with our own engine's, whose figures it
// returns.
func parity(t *testing.T, p problem, devices int, o Options, prepare ...func(*Stepper)) train.Stats {
	t.Helper()
	d := open(t, devices)
	p.settings.LearnGate = p.params.Config.Halting.Adaptive()
	own, other := p.clone(), p.clone()
	ours, err := train.NewStepper(own.params, own.settings, 2)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ours.Step(own.update(1))
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewStepper(d, other.params, other.settings, o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, change := range prepare {
		change(s)
	}
	loss, with := other.settings.Loss, other.params.Config.Halting
	if loss.Budget > 0 {
		drawn := s.controller.Draw(loss, 0, other.update(1).Progress)
		loss.Multiplier, with = drawn.Alpha, drawn.Shifted(with)
	}
	got, err := s.pass(other.batch, loss, with, true, 1)
	if err != nil {
		t.Fatal(err)
	}
	slope := [2]float64{float64(s.figures[figureScale]), float64(s.figures[figureCenter])}
	got.GradNorm = math.Sqrt(float64(s.figures[figureNorm]) + slope[0]*slope[0] + slope[1]*slope[1])
	if state, _ := ours.State(); p.settings.LearnGate { // the gates' first moments are (1−β1)·g, clipped
		moments := state[len(state)-1].Data
		for i, m := range []float32{moments[1], moments[5]} {
			g := float64(m) / (1 - own.settings.Beta1) / min(1, own.settings.ClipNorm/want.GradNorm)
			t.Logf("gate %d: gradient %v, want %v", i, slope[i], g)
			if math.Abs(slope[i]-g) > most*max(math.Abs(g), want.GradNorm/100) {
				t.Errorf("the gradient of gate constant %d is %v, want %v", i, slope[i], g)
			}
		}
	} else {
		got.GradNorm = math.Sqrt(float64(s.figures[figureNorm]))
	}
	want.Multiplier, want.Target = 0, 0
	compare(t, got, want, most)
	g, err := s.Gradient()
	if err != nil {
		t.Fatal(err)
	}
	worst, where := 0.0, ""
	reference := ours.Gradient().Tensors()
	for i, tensor := range g.Tensors() {
		if by := apart(tensor.Data, reference[i].Data); by > worst {
			worst, where = by, tensor.Name
		}
	}
	t.Logf("loss %v, mean depth %v; gradients differ by %.1e at most (%s)", got.Loss, got.MeanDepth, worst, where)
	if !(worst < most) {
		t.Errorf("the gradient of %s differs by %g", where, worst)
	}
	return want
}
