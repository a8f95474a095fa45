package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// schemes are all that can be trained, with constants by which tiny's tokens halt at different depths.
var schemes = map[string]halting.Config{
	"none":       halting.Dense(),
	"token":      halting.Config{Scheme: "token"}.With("gate_scale", 3).With("gate_center", 0.8),
	"act":        halting.Config{Scheme: "act"}.With("gate_scale", 3).With("gate_center", -2),
	"sact":       halting.Config{Scheme: "sact"}.With("gate_scale", 3).With("gate_center", 0.8),
	"token exit": halting.Config{Scheme: "token"}.With("gate_scale", 3).With("gate_center", 0.8).With("exit", 0.5),
	"sact exit":  halting.Config{Scheme: "sact"}.With("gate_scale", 3).With("gate_center", 0.8).With("exit", 0.5),
	"ponder":     halting.Config{Scheme: "ponder"}.With("gate_scale", 2).With("gate_center", 0.6).With("epsilon", 0.3),
	"confidence": halting.Config{Scheme: "confidence"}.With("threshold", 0.5),
	"similarity": halting.Config{Scheme: "similarity"}.With("threshold", 0.9),
	"topk":       halting.Config{Scheme: "topk"}.With("keep", 0.6),
	"topk fused": halting.Config{Scheme: "topk"}.With("keep", 0.5).With("layers", []int{1, 3}).With("fuse", true),
	"tome":       halting.Config{Scheme: "tome"}.With("merge", 1.5),
	"ltmp":       halting.Config{Scheme: "ltmp"}.With("similarity", 0.6).With("importance", 0.9),
	"random":     halting.Config{Scheme: "random"}.With("rate", 0.3),
	"token registers": halting.Config{Scheme: "token"}.With("gate_scale", 3).With("gate_center", 0.8).
		With("registers_halt", true),
}

// lesson is a batch and a loss of some kind.
type lesson struct {
	name string
	b    Batch
	loss Loss
}

// lessons are all ways to learn from images, each with every term that a scheme may have.
func lessons(c vit.Config, size int) []lesson {
	loss := someLoss
	loss.PonderBeta, loss.PonderLambda = 0.2, 0.4
	b := randomBatch(c, size, 4)
	list := []lesson{{"labels", b, loss}}
	r := rand.New(rand.NewPCG(7, 8))
	mixed := b
	mixed.Targets = make([]float32, size*c.Classes)
	for i := range size {
		row, sum := mixed.Targets[i*c.Classes:(i+1)*c.Classes], float32(0)
		for j := range row {
			row[j] = r.Float32()
			sum += row[j]
		}
		for j := range row {
			row[j] /= sum
		}
	}
	reverse := loss
	reverse.ReversePrior, reverse.PriorShape, reverse.PriorDeviation = true, PriorLaplace, 2
	reverse.DeepSupervision = 0.3
	list = append(list, lesson{"targets", mixed, reverse})
	taught := mixed
	taught.Teacher = make([]float32, size*c.Classes)
	for i := range taught.Teacher {
		taught.Teacher[i] = float32(2 * r.NormFloat64())
	}
	taught.TeacherTokens = make([]float32, size*c.Readouts().Inputs()*c.Embed)
	for i := range taught.TeacherTokens {
		taught.TeacherTokens[i] = float32(r.NormFloat64())
	}
	soft, hard, plain := loss, loss, taught
	plain.TeacherTokens = nil
	soft.Distill = &Distill{Mode: DistillSoft, Alpha: 0.7, Temperature: 3, Tokens: 0.2}
	hard.Distill = &Distill{Mode: DistillHard, Alpha: 0.4}
	return append(list, lesson{"soft teacher", taught, soft}, lesson{"hard teacher", plain, hard})
}

// TestGradientsByFiniteDifferences checks every scheme's whole loss for every kind of parameter and every way to
// learn, with drop path on. Depths are constants of the loss, so a difference that changes one is left out; enough
// must remain.
func TestGradientsByFiniteDifferences(t *testing.T) {
	for name, scheme := range schemes {
		for _, kind := range tokentest.Kinds {
			if scheme.Switch("registers_halt") && kind.Registers == 0 ||
				scheme.Switch("fuse") && kind.NoClassToken { // whose shares are constants of the loss
				continue
			}
			p := tinyOf(3, kind)
			p.Config.Halting = scheme
			size := 4
			if scheme.Scheme == "act" { // of which an image has one depth alone
				size = 7
				spread(t, p, size)
			}
			for _, l := range lessons(p.Config, size) {
				if l.name != "labels" && !slices.Contains([]string{"class token", "distillation head", "mean, registers",
					"class and mean"}, kind.Name) { // the others are read as one of these
					continue
				}
				t.Run(fmt.Sprintf("%s/%s/%s", name, kind.Name, l.name), func(t *testing.T) { checkSlopes(t, p, l) })
			}
		}
	}
}

// spread shuts layer-wise ACT's gate until three images reach the last block.
func spread(t *testing.T, p *vit.Params, size int) {
	t.Helper()
	c := &p.Config.Halting
	for center := c.Number("gate_center") - 4; center < 4; center += 0.05 {
		*c = c.With("gate_center", center)
		net, err := NewNetwork(p, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := net.forward(randomBatch(p.Config, size, 4), someLoss); err != nil {
			t.Fatal(err)
		}
		deep := 0
		for _, d := range depths(net, size) {
			if d == int32(p.Config.Layers) {
				deep++
			}
		}
		if deep >= 3*p.Config.Tokens() {
			return
		}
	}
}

// choices are all that a scheme decided on in the last pass and that the loss takes for constant: depths, and which
// rows were merged.
func choices(n *Network, images int) []int32 {
	all := depths(n, images)
	for _, s := range n.active(images) {
		for _, a := range s.blocks {
			if a.merge != nil {
				all = append(all, a.merge.into[:a.rows(s.images)]...)
			}
		}
	}
	return all
}

// checkSlopes compares the gradient of each tensor, and of the gates' constants, with differences of the loss.
func checkSlopes(t *testing.T, p *vit.Params, l lesson) {
	net, err := NewNetwork(p, 1)
	if err != nil {
		t.Fatal(err)
	}
	net.shardSize = 2
	grad := vit.NewParams(p.Config)
	if _, err := net.Step(l.b, l.loss, grad); err != nil {
		t.Fatal(err)
	}
	everybody := net.scheme.deep && !net.scheme.couples() // runs to the end to learn
	at := depths(net, l.b.Size)
	if everybody == (slices.Min(at) != slices.Max(at)) && p.Config.Halting.Adaptive() {
		t.Fatalf("depths run from %d to %d: the test would show little", slices.Min(at), slices.Max(at))
	}
	end := 0
	for i := range l.b.Size {
		end = max(end, int(halting.End(p.Config.Readouts(), at[i*p.Config.Tokens():][:p.Config.Tokens()])))
	}
	at = choices(net, l.b.Size)
	difference := func(shift func(by float64), step float64) (slope float64, same bool) {
		losses := [2]float64{}
		same = true
		for i, by := range []float64{step, -step} {
			shift(by)
			st, _, err := net.forward(l.b, l.loss)
			if err != nil {
				t.Fatal(err)
			}
			losses[i], same = st.Loss, same && slices.Equal(choices(net, l.b.Size), at)
		}
		shift(0)
		return (losses[0] - losses[1]) / (2 * step), same
	}
	// float32 leaves an absolute error of about 1e-7/step in a difference, so whole tensors are compared along random
	// directions, where the slope is large: the worst single element is PyTorch's to judge (TestReference).
	check := func(name string, slope float64, shift func(by float64)) {
		for step := 1e-2 / slope; step*slope > 2e-5; step /= 2 {
			step := min(step, 0.02)
			got, same := difference(shift, step)
			if !same {
				continue
			}
			if math.Abs(got-slope) < 0.02*slope+1e-7/step {
				return
			}
			if step*slope < 6e-5 {
				t.Errorf("%s: slope %v, the loss's is %v (step %v)", name, slope, got, step)
				return
			}
		}
		t.Errorf("%s: no step keeps the depths", name)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for _, tensor := range p.Tensors() {
		g, slope := grad.Data[tensor.Offset:tensor.Offset+len(tensor.Data)], 0.0
		keep, direction := slices.Clone(tensor.Data), make([]float64, len(g))
		for i, v := range g {
			direction[i] = math.Copysign(0.5+r.Float64(), float64(v))
			slope += float64(v) * direction[i]
		}
		if slope == 0 {
			if p.Config.Halting.Scheme != "token" && end == p.Config.Layers { // all may stop before the last block
				t.Errorf("%s has no gradient", tensor.Name)
			}
			continue
		}
		check(tensor.Name, slope, func(by float64) {
			for i := range keep {
				tensor.Data[i] = keep[i] + float32(by*direction[i])
			}
		})
	}
	if net.scheme.learner == nil {
		return
	}
	scale, center := net.gate.scale, net.gate.center
	h := &p.Config.Halting
	keep := *h
	check("gate_scale", math.Abs(scale), func(by float64) {
		*h = keep.With("gate_scale",
			keep.Number("gate_scale")+math.Copysign(by, by*scale))
	})
	check("gate_center", math.Abs(center), func(by float64) {
		*h = keep.With("gate_center", keep.Number("gate_center")+math.Copysign(by, by*center))
	})
}
