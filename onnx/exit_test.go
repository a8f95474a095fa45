package onnx

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
)

// TestExit holds graphs of models with an exit against the engine: images leave at once, here and there, or never, and
// in a batch one that has left is ballast for the others.
func TestExit(t *testing.T) {
	const images = 8
	between := 0
	for i, kind := range tokentest.Kinds {
		exits := []float64{0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 1}
		if i >= 3 {
			exits = []float64{0.3, 0.45, 0.55, 1}
		}
		for _, exit := range exits {
			c := vit.Config{Embed: 24, Heads: 2, Layers: 5, Hidden: 40, Height: 12, Width: 16,
				Patch: 4, Channels: 1, Classes: 3, Eps: 1e-6,
				Halting: halting.Config{Scheme: "token"}.With("gate_scale", 3).With("gate_center", 0.8).With("exit", exit)}
			kind.Set(&c)
			p := vit.Initialize(c, 1, 0.25)
			r := rand.New(rand.NewPCG(2, 3))
			pixels := make([]float32, images*c.ImageLen())
			for i := range pixels {
				pixels[i] = float32(r.NormFloat64())
			}
			weights, err := infer.Pack(p, infer.F32)
			if err != nil {
				t.Fatal(err)
			}
			e, err := infer.New(weights, infer.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			var want infer.Output
			if err := e.Run(t.Context(), infer.Batch{Images: pixels}, &want); err != nil {
				t.Fatal(err)
			}
			m := export(t, p, Options{Depth: true})
			for _, batch := range []int{1, images} {
				for i := 0; i < images; i += batch {
					all, err := m.run(value{elemFloat, []int{batch, 1, c.Height, c.Width},
						wide(pixels[i*c.ImageLen() : (i+batch)*c.ImageLen()])})
					if err != nil {
						t.Fatal(err)
					}
					for j, v := range all["logits"].data {
						if w := float64(want.Logits[i*c.Classes+j]); math.Abs(v-w) > 1e-4 {
							t.Fatalf("%s, exit %v: logit %v, want %v", kind.Name, exit, v, w)
						}
					}
					depth := all["depth"].data
					for k, v := range want.Depth[i*c.Tokens() : (i+batch)*c.Tokens()] {
						if depth[k] != float64(v) {
							t.Fatalf("%s, exit %v, batch %d: depths %v, want %v", kind.Name, exit, batch, depth, want.Depth)
						}
					}
				}
			}
			for i := range images {
				depth := want.Depth[i*c.Tokens() : (i+1)*c.Tokens()]
				end := int(halting.End(c.Readouts(), depth))
				if exit == 1 && end != c.Layers || exit == 0.3 && end != 1 || int(slices.Max(depth)) != end {
					t.Errorf("exit %v: depths %v", exit, depth)
				}
				if end > 1 && end < c.Layers && int(slices.Min(depth)) < end {
					between++
				}
			}
		}
	}
	if between < 3 {
		t.Errorf("%d images leave between the first block and the last: the test shows little", between)
	}
}

// TestExitIsAsked: a graph decides after every block but the last where the model has an exit, and else nowhere.
func TestExitIsAsked(t *testing.T) {
	for exit, want := range map[float64]int{0: 0, 0.9: small(t).Config.Layers - 1} {
		p := small(t)
		p.Config.Halting = p.Config.Halting.With("exit", exit)
		for _, o := range []Options{{}, {Dense: true}} {
			asked, softmaxes := 0, 0
			for _, n := range export(t, p, o).nodes {
				if strings.HasSuffix(n.name, "exit.sure") {
					asked++
				}
				if n.op == "Softmax" && !strings.Contains(n.name, ".attn.") {
					softmaxes++
				}
			}
			if n := want * int(1-truth(o.Dense)); asked != n || softmaxes != n {
				t.Errorf("exit %v, %+v: asks %d times, want %d", exit, o, asked, n)
			}
		}
	}
}
