package infer

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// first returns the model of p's first blocks, with its norm and heads.
func first(p *vit.Params, layers int) *vit.Params {
	c, tensors := p.Config, map[string]vit.Tensor{}
	for _, t := range p.Tensors() {
		tensors[t.Name] = t
	}
	c.Layers = layers
	q := vit.NewParams(c)
	for _, t := range q.Tensors() {
		copy(t.Data, tensors[t.Name].Data)
	}
	return q
}

// TestExitIsExact: an image ends after the first block of which the prediction is sure, and has the bits of the model
// that has no further blocks and no exit, on any number of threads.
func TestExitIsExact(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		ends := map[string]int{}
		for seed := range uint64(60) {
			r := rand.New(rand.NewPCG(seed, 3))
			c := schemeConfig([]string{"token", "sact"}[seed%2], 1+r.IntN(5))
			tokentest.Kinds[r.IntN(len(tokentest.Kinds))].Set(&c)
			exit := 0.3 + 0.4*r.Float64()
			c.Halting = c.Halting.With("exit", exit)
			b, precision, p := 1+r.IntN(5), precisions[r.IntN(3)], makeModel(c, seed, gatesMixed)
			images := drawImages(c, b, seed)
			got := run(t, p, options{Threads: 1 + r.IntN(6), Precision: precision}, images)
			full := run(t, p, options{Full: true, Precision: precision}, images)
			sameBits(t, "logits of the full engine", full.Logits, got.Logits)
			never, err := halting.NewTraining(c.Halting)
			if err != nil {
				t.Fatal(err)
			}
			ended := make([]bool, b)
			for l := 1; l <= c.Layers; l++ {
				want := run(t, first(p, l), options{Scheme: never, Precision: precision}, images)
				for i := range b {
					logits, z := want.Logits[i*c.Classes:(i+1)*c.Classes], make([]float64, c.Classes)
					for j, v := range logits {
						z[j] = float64(v)
					}
					if ended[i] || l < c.Layers && float32(largestPlain(z)) < float32(exit) {
						continue
					}
					ended[i] = true
					sameBits(t, "logits", got.Logits[i*c.Classes:(i+1)*c.Classes], logits)
					depth, shorter := got.Depth[i*c.Tokens():][:c.Tokens()], want.Depth[i*c.Tokens():][:c.Tokens()]
					if !slices.Equal(depth, shorter) || int(halting.End(c.Readouts(), depth)) > l {
						t.Fatalf("image %d: depths %v, want %v", i, depth, shorter)
					}
					if l > 1 && l < c.Layers && int(halting.End(c.Readouts(), depth)) == l && int(slices.Min(depth)) < l {
						ends[c.Halting.Scheme]++
					}
				}
			}
		}
		if ends["token"] < 3 || ends["sact"] < 3 {
			t.Errorf("images that end on the way, some of their patches before: %v: the test shows little", ends)
		}
	})
}

// TestExitHalts: in the model that the tests of all schemes use, images end in different blocks, patches before them.
func TestExitHalts(t *testing.T) {
	for _, name := range []string{"token exit", "sact exit"} {
		p := makeModel(schemeConfig(name, 5), 3, gatesMixed)
		c := &p.Config
		out := run(t, p, options{}, drawImages(*c, 12, 4))
		ends := make([]int, c.Layers+1)
		before := 0
		for i := range 12 {
			depth := out.Depth[i*c.Tokens() : (i+1)*c.Tokens()]
			ends[depth[0]]++
			for _, d := range depth {
				if d < depth[0] {
					before++
				}
			}
		}
		if slices.Max(ends) > 10 || before == 0 {
			t.Errorf("%s: images end in blocks %v, %d tokens before", name, ends, before)
		}
	}
}

// TestExitSplits: with an exit, too, patches leave before fc2 is complete. What it costs are the heads, and the rest of
// fc2 for the rows that are read, which go ahead of the others as copies.
func TestExitSplits(t *testing.T) {
	for _, kind := range tokentest.Kinds {
		c := schemeConfig("token", 4)
		kind.Set(&c)
		n := int32(c.Tokens())
		active := []int32{n, n - 7, n - 9, n - 14}
		macs := func(c vit.Config) int64 {
			e := newEngine(t, makeModel(c, 1, gatesMixed), options{})
			defer e.Close()
			return e.MACs(active)
		}
		q, e := int64(c.Readouts().Inputs()), int64(c.Embed)
		rest := q * (e - int64(kernels.FirstPanel(c.Embed))) * int64(c.Hidden)
		if c.Readouts().Pooled > 0 {
			rest = 0 // fc2 is complete for all
		}
		want := int64(c.Layers-1) * (q*e*int64(c.Classes) + rest)
		without := macs(c)
		c.Halting = c.Halting.With("exit", 0.9)
		if got := macs(c) - without; got != want {
			t.Errorf("%s: an exit costs %d MACs, want %d", kind.Name, got, want)
		}
	}
}
