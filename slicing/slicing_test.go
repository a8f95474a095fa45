package slicing

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// wide is a small model with everything that can be cut.
func wide(change func(*vit.Config)) *vit.Params {
	c := vit.Config{Embed: 24, Heads: 4, Layers: 3, Hidden: 40, Height: 16, Width: 24, Patch: 4, Channels: 2, Classes: 5,
		Eps: 1e-6}
	if change != nil {
		change(&c)
	}
	p := vit.Initialize(c, 1, 0.3)
	r := rand.New(rand.NewPCG(5, 6))
	for _, t := range p.Tensors() { // norms and biases that are not 1 and 0
		for i := range t.Data {
			if !t.Decay {
				t.Data[i] += float32(0.3 * r.NormFloat64())
			}
		}
	}
	return p
}

// batches are so many batches of three random images.
func batches(c vit.Config, n int) iter.Seq[train.Batch] {
	return func(yield func(train.Batch) bool) {
		for k := range n {
			b := train.Batch{Size: 3, Labels: []int32{0, 1, 2}, Load: func(i int, dst []float32) error {
				copy(dst, images(c, uint64(3*k+i), 1))
				return nil
			}}
			if !yield(b) {
				return
			}
		}
	}
}

func images(c vit.Config, seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, 9))
	x := make([]float32, n*c.ImageLen())
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// logits of some images.
func logits(t *testing.T, p *vit.Params, x []float32) []float32 {
	t.Helper()
	w, err := infer.Pack(p, infer.F32)
	if err != nil {
		t.Fatal(err)
	}
	e, err := infer.New(w, infer.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	var out infer.Output
	defer e.Close()
	if err := e.Run(context.Background(), infer.Batch{Images: x}, &out); err != nil {
		t.Fatal(err)
	}
	return out.Logits
}

// apart is how far two lists are from each other, as a share of how far the first is from 0.
func apart(a, b []float32) float64 {
	d, all := 0.0, 0.0
	for i := range a {
		d += math.Pow(float64(a[i])-float64(b[i]), 2)
		all += math.Pow(float64(a[i]), 2)
	}
	return math.Sqrt(d / all)
}

// TestSliceToTheSameSize: nothing goes, so the model computes what it did, in other numbers.
func TestSliceToTheSameSize(t *testing.T) {
	for name, change := range map[string]func(*vit.Config){
		"class token":    nil,
		"two heads":      func(c *vit.Config) { c.Distillation = vit.DistillHead },
		"registers":      func(c *vit.Config) { c.Registers = 2 },
		"mean":           func(c *vit.Config) { c.Pooling, c.NoClassToken = vit.Mean, true },
		"class and mean": func(c *vit.Config) { c.Pooling = vit.ClassAndMean },
		"mean of normed": func(c *vit.Config) { c.Pooling = vit.NormedMean },
	} {
		t.Run(name, func(t *testing.T) {
			p := wide(change)
			q, err := Slice(p, Size{}, batches(p.Config, 8))
			if err != nil {
				t.Fatal(err)
			}
			x := images(p.Config, 77, 4)
			if d := apart(logits(t, p, x), logits(t, q, x)); d > 2e-3 {
				t.Errorf("logits moved by %.2g of themselves", d)
			}
		})
	}
}

// widen hides p in a model of other sizes that computes the same: in some directions of a wider stream, beside heads
// and hidden units whose part in the output is 0.
func widen(p *vit.Params, heads, hidden int) *vit.Params {
	from := p.Config
	c := from
	c.Embed, c.Heads, c.Hidden = heads*from.HeadDim(), heads, hidden
	q := vit.Initialize(c, 8, 0.3)
	e, d, n := c.Embed, from.HeadDim(), from.Embed
	basis := spread(e).(interface{ At(i, j int) float64 }) // [e, e−1], of which n columns are used
	write := func(dst, x []float32, cols int) {            // [n, cols] to [e, cols]
		clear(dst)
		for j := range cols {
			mean := 0.0
			for k := range n {
				mean += float64(x[k*cols+j]) / float64(n)
			}
			for i := range e {
				for k := range n {
					dst[i*cols+j] += float32(basis.At(i, k) * (float64(x[k*cols+j]) - mean))
				}
			}
		}
	}
	rows := func(dst, x []float32) {
		for r := range len(x) / n {
			write(dst[r*e:(r+1)*e], x[r*n:(r+1)*n], 1)
		}
	}
	root := math.Sqrt(float64(n) / float64(e))
	read := func(dst, dstBias, x, bias, norm, normBias []float32) { // a row of a map behind a norm
		dstBias[0] = bias[0]
		clear(dst)
		mean := 0.0 // a norm's output has none, so it need not be looked for
		for k := range n {
			mean += float64(x[k]) * float64(norm[k]) / float64(n)
		}
		for k := range n {
			dstBias[0] += x[k] * normBias[k]
			for i := range e {
				dst[i] += float32(root * (float64(x[k])*float64(norm[k]) - mean) * basis.At(i, k))
			}
		}
	}
	rows(q.ClassToken, p.ClassToken)
	rows(q.Position, p.Position)
	rows(q.PatchBias, p.PatchBias)
	write(q.PatchWeight, p.PatchWeight, c.PatchLen())
	for l := range q.Blocks {
		to, b := &q.Blocks[l], &p.Blocks[l]
		ones(to.Norm1Weight)
		ones(to.Norm2Weight)
		clear(to.Norm1Bias)
		clear(to.Norm2Bias)
		for part := range 3 {
			for i := range n {
				r, s := part*e+d+i, part*n+i // the first head is a new one
				read(to.QKVWeight[r*e:(r+1)*e], to.QKVBias[r:], b.QKVWeight[s*n:], b.QKVBias[s:], b.Norm1Weight, b.Norm1Bias)
			}
		}
		for i := range from.Hidden {
			r := hidden - from.Hidden + i
			read(to.FC1Weight[r*e:(r+1)*e], to.FC1Bias[r:], b.FC1Weight[i*n:], b.FC1Bias[i:], b.Norm2Weight, b.Norm2Bias)
		}
		put := func(dst, x []float32, in, wasIn, shift int) { // [n, wasIn] to [e, in], in columns from shift on
			moved := make([]float32, e*wasIn)
			write(moved, x, wasIn)
			clear(dst)
			for i := range e {
				copy(dst[i*in+shift:], moved[i*wasIn:(i+1)*wasIn])
			}
		}
		put(to.ProjWeight, b.ProjWeight, e, n, d)
		put(to.FC2Weight, b.FC2Weight, hidden, from.Hidden, hidden-from.Hidden)
		rows(to.ProjBias, b.ProjBias)
		rows(to.FC2Bias, b.FC2Bias)
	}
	ones(q.NormWeight)
	clear(q.NormBias)
	for k := range c.Classes {
		read(q.HeadWeight[k*e:(k+1)*e], q.HeadBias[k:], p.HeadWeight[k*n:], p.HeadBias[k:], p.NormWeight, p.NormBias)
	}
	return q
}

// TestSliceFinds a narrow model that is hidden in a wide one.
func TestSliceFinds(t *testing.T) {
	p := wide(nil)
	hidden := widen(p, 6, 52)
	x := images(p.Config, 78, 4)
	want := logits(t, p, x)
	if d := apart(want, logits(t, hidden, x)); d > 1e-3 {
		t.Fatalf("the test's own wide model is %.2g off", d)
	}
	q, err := Slice(hidden, Size{Embed: 24, Heads: 4, Hidden: 40}, batches(p.Config, 8))
	if err != nil {
		t.Fatal(err)
	}
	if d := apart(want, logits(t, q, x)); d > 2e-3 {
		t.Errorf("what was cut out is %.2g off", d)
	}
}

// TestSliceSizes: all that can be cut is, and twice the same way.
func TestSliceSizes(t *testing.T) {
	p := wide(nil)
	to := Size{Embed: 12, Heads: 2, Hidden: 20, Patch: 8}
	var all [2]*vit.Params
	for i := range all {
		var err error
		if all[i], err = Slice(p, to, batches(p.Config, 4)); err != nil {
			t.Fatal(err)
		}
	}
	if c := all[0].Config; c.Embed != 12 || c.Heads != 2 || c.Hidden != 20 || c.Patch != 8 || c.Tokens() != 7 {
		t.Errorf("cut to %+v", c)
	}
	if !slices.Equal(all[0].Data, all[1].Data) || kernels.FirstNotFinite(all[0].Data) >= 0 {
		t.Error("a second cut has other numbers, or some are not finite")
	}
}

func TestSliceRefuses(t *testing.T) {
	p := wide(nil)
	for want, to := range map[string]Size{
		"embed is 30":               {Embed: 30},
		"heads is 5":                {Heads: 5},
		"hidden is -1":              {Hidden: -1},
		"patch is 2":                {Patch: 2},
		"2 heads of 6 numbers need": {Heads: 2},
		"16×24 pixels":              {Patch: 5},
	} {
		if _, err := Slice(p, to, batches(p.Config, 1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error with %q", to, err, want)
		}
	}
}
