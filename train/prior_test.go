package train

import (
	"math"
	"testing"

	"github.com/adavit/adavit/halting"
)

func TestPrior(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		p, err := newPrior(5, Loss{TargetLayer: 2.5, ReversePrior: reverse})
		if err != nil {
			t.Fatal(err)
		}
		mean := []float64{0.3, 0.01, 0.2, 0.5, 0.07}
		grad := make([]float64, 5)
		p.loss(mean, grad)
		for l := range mean {
			const step = 1e-6
			keep, scrap := mean[l], make([]float64, 5)
			mean[l] = keep + step
			high := p.loss(mean, scrap)
			mean[l] = keep - step
			want := (high - p.loss(mean, scrap)) / (2 * step)
			mean[l] = keep
			if math.Abs(grad[l]-want) > 1e-5 {
				t.Errorf("reverse %v, layer %d: gradient %v, want %v", reverse, l+1, grad[l], want)
			}
		}
		scaled := make([]float64, 5)
		for l := range scaled {
			scaled[l] = 7 * p.target[l]
		}
		if kl := p.loss(scaled, grad); math.Abs(kl) > 1e-12 {
			t.Errorf("reverse %v: the target's own divergence is %v", reverse, kl)
		}
		if kl := p.loss([]float64{0.4, 0.6, 0, 0, 0}, grad); math.IsInf(kl, 0) || math.IsNaN(kl) || grad[4] != 0 {
			t.Errorf("reverse %v: layers that never ran give %v and gradient %v", reverse, kl, grad)
		}
		if kl := p.loss(make([]float64, 5), grad); kl != 0 || grad[0] != 0 {
			t.Errorf("reverse %v: no scores at all give %v and gradient %v", reverse, kl, grad)
		}
	}
	// Layers so far from the target that its density there is no number any more still pull with a finite force.
	for _, reverse := range []bool{false, true} {
		p, err := newPrior(100, Loss{TargetLayer: 100, ReversePrior: reverse})
		if err != nil {
			t.Fatal(err)
		}
		mean, grad := make([]float64, 100), make([]float64, 100)
		mean[0], mean[1] = 0.5, 0.25
		if kl := p.loss(mean, grad); math.IsInf(kl, 0) || math.IsNaN(kl) || math.IsInf(grad[0], 0) || !(grad[0] >= 0) {
			t.Errorf("reverse %v: far from the target the loss is %v and its gradient %v", reverse, kl, grad[0])
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), -11, 100} {
		if _, err := newPrior(5, Loss{TargetLayer: bad}); err == nil {
			t.Errorf("a prior around layer %v was accepted", bad)
		}
	}
}

// halts steps a scheme on one token with the given gate after each block.
func halts(s halting.Scheme, gates []float32) (score []float32, st halting.State) {
	score = make([]float32, len(gates))
	st.Reset(1)
	for l := range gates {
		if st.Depth[0] == 0 {
			s.Step(&st, halting.Rows{Layer: l + 1, Layers: len(gates), Readouts: halting.Readouts{Special: 1, Alone: 1},
				X: gates[l : l+1], Stride: 1, Token: []int32{0}, Score: score[l : l+1], Weight: make([]float32, 1)})
		}
	}
	return score, st
}

// TestPriorOfShutGates: where no gate opens, mean scores are so small that their gradient is beyond float32; times the
// sigmoid's slope it is not.
func TestPriorOfShutGates(t *testing.T) {
	const layers = 4
	prior, err := newPrior(layers, Loss{TargetLayer: 2})
	if err != nil {
		t.Fatal(err)
	}
	gates := []float32{0, 2, 1, 3} // of one token
	var want []float32
	for _, center := range []float32{20, 40, 80, 100} { // a score of e^−100 is a subnormal float32 of few bits
		token := halting.Token{Scale: 1, Center: center, Threshold: 0.99}
		score, st := halts(token, gates)
		mean, got := make([]float64, layers), make([]float32, layers)
		for l := range mean {
			mean[l] = float64(score[l])
		}
		up := halting.Upstream{Weight: make([]float32, layers), Score: make([]float64, layers)}
		prior.loss(mean, up.Score)
		token.Backward(got, score, st.Depth, up)
		if want == nil {
			want = got // only the shares of the layers matter to the prior, and they are the same for every centre
		}
		for l := range got {
			if math.Abs(float64(got[l]-want[l])) > 0.01 || got[l] == 0 {
				t.Errorf("center %v, layer %d: gradient %v of the gate, want %v", center, l+1, got[l], want[l])
			}
		}
	}
}

func TestPriorTargetIsABell(t *testing.T) {
	p, err := newPrior(12, Loss{TargetLayer: 7})
	if err != nil {
		t.Fatal(err)
	}
	// Neighbours of the peak are e^−½ of it, and so on.
	for d, want := range map[int]float64{1: math.Exp(-0.5), 2: math.Exp(-2), 3: math.Exp(-4.5)} {
		if got := p.target[6+d] / p.target[6]; math.Abs(got-want) > 1e-12 {
			t.Errorf("%d layers above the peak: %v of it, want %v", d, got, want)
		}
	}
}

// TestPriorShapes: targets of each shape against their definitions, normalised by hand.
func TestPriorShapes(t *testing.T) {
	for _, c := range []struct {
		shape     string
		target    float64
		deviation float64
		density   func(l float64) float64
	}{
		{PriorNormal, 4, 2, func(l float64) float64 { return math.Exp(-(l - 4) * (l - 4) / 8) }},
		{"", 4, 0, func(l float64) float64 { return math.Exp(-(l - 4) * (l - 4) / 2) }},
		{PriorLaplace, 4.5, math.Sqrt2, func(l float64) float64 { return math.Exp(-math.Abs(l - 4.5)) }},
		{PriorGeometric, 4, 0, func(l float64) float64 { return math.Pow(0.75, l) }},
		{PriorUniform, 4, 0, func(l float64) float64 { return 1 }},
	} {
		p, err := newPrior(12, Loss{TargetLayer: c.target, PriorShape: c.shape, PriorDeviation: c.deviation})
		if err != nil {
			t.Fatal(err)
		}
		sum, total := 0.0, 0.0
		for l := range 12 {
			sum += c.density(float64(l + 1))
		}
		for l, got := range p.target {
			total += got
			if want := c.density(float64(l+1)) / sum; math.Abs(got-want) > 1e-12 {
				t.Errorf("%+v, layer %d: %v, want %v", c.shape, l+1, got, want)
			}
		}
		if math.Abs(total-1) > 1e-12 {
			t.Errorf("%s sums to %v", c.shape, total)
		}
		// The loss of the target itself is nothing, and its gradient too.
		grad := make([]float64, 12)
		if kl := p.loss(p.target, grad); math.Abs(kl) > 1e-12 || math.Abs(grad[3]) > 1e-9 {
			t.Errorf("%s: the target's own divergence is %v, its gradient %v", c.shape, kl, grad)
		}
	}
	for _, o := range []Loss{{PriorShape: "square"}, {PriorDeviation: -1}, {PriorDeviation: math.NaN()},
		{PriorDeviation: 1e9}} {
		o.TargetLayer = 4
		if _, err := newPrior(12, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
	if _, err := newPrior(12, Loss{TargetLayer: 1, PriorShape: PriorGeometric}); err == nil {
		t.Error("a geometric prior with its mean at the first layer was accepted")
	}
}
