package train

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
)

// TestTrainingRunsWhatInferenceRuns: for every scheme that can be trained, the two engines, which share no code but the
// kernels and the scheme, come to the same logits, depths and number of correct images.
func TestTrainingRunsWhatInferenceRuns(t *testing.T) {
	list := maps.Clone(schemes)
	maps.Copy(list, map[string]halting.Config{ // with constants by which this model's tokens halt at different depths
		"act":        halting.Config{Scheme: "act"}.With("gate_scale", 3).With("gate_center", 0.6),
		"token exit": schemes["token exit"].With("exit", 0.6),
		"sact exit":  schemes["sact exit"].With("exit", 0.6),
		"ponder":     schemes["ponder"].With("gate_scale", 1),
	})
	for name, scheme := range list {
		for _, distillation := range []vit.Distillation{vit.NoDistillation, vit.DistillToken, vit.DistillHead} {
			t.Run(fmt.Sprintf("%s/%d", name, distillation), func(t *testing.T) { compareEngines(t, scheme, distillation) })
		}
	}
}

func compareEngines(t *testing.T, scheme halting.Config, distillation vit.Distillation) {
	const images = 12
	c := vit.Config{Distillation: distillation, Embed: 24, Heads: 2, Layers: 6, Hidden: 40, Height: 16, Width: 20,
		Patch: 4, Channels: 1, Classes: 3, Eps: 1e-6, Halting: scheme}
	p := vit.Initialize(c, 1, 0.25)
	r := rand.New(rand.NewPCG(2, 3))
	size := c.Channels * c.Height * c.Width
	pixels, labels := make([]float32, images*size), make([]int32, images)
	for i := range pixels {
		pixels[i] = float32(r.NormFloat64())
	}
	for i := range labels {
		labels[i] = int32(r.IntN(c.Classes))
	}
	net, err := NewNetwork(p, 2)
	if err != nil {
		t.Fatal(err)
	}
	stats, _, err := net.forward(Batch{Size: images, Labels: labels, Load: func(i int, dst []float32) error {
		copy(dst, pixels[i*size:])
		return nil
	}}, Loss{TargetLayer: 3})
	if err != nil {
		t.Fatal(err)
	}
	run := func(p *vit.Params, full bool) infer.Output {
		packed, err := infer.Pack(p, infer.F32)
		if err != nil {
			t.Fatal(err)
		}
		e, err := infer.New(packed, infer.Options{Threads: 2, Full: full})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		var out infer.Output
		if full {
			out.Trace = &infer.Trace{}
		}
		if err := e.Run(t.Context(), infer.Batch{Images: pixels}, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := run(p, false)
	depth := out.Depth
	logits := out.Logits
	exit := scheme.Number("exit") > 0
	switch scheme.Scheme {
	case "token", "act", "sact": // here tokens learn on when the class token has halted
		if !exit {
			depth = run(p, true).Trace.Depth
			break
		}
		q := p.Clone() // and every block is learnt
		q.Config.Halting = q.Config.Halting.With("exit", 1)
		logits = run(q, false).Logits
	case "ponder", "confidence": // these learn in every block, and the network shows the last one's logits
		q := p.Clone()
		t := q.Config.Halting.Tuning() // of PonderNet 0, of confidence 1: no image stops early
		q.Config.Halting = q.Config.Halting.With(t.Key, t.Hi)
		logits = run(q, false).Logits
	}
	mean, correct := 0.0, 0
	for _, d := range depth {
		mean += float64(d) / float64(len(depth))
	}
	for i := range images {
		got := net.output(i)
		for j, v := range got.Logits {
			if d := math.Abs(float64(v - logits[i*c.Classes+j])); !(d < 1e-4) {
				t.Errorf("image %d: logit %d differs by %g", i, j, d)
			}
		}
		final := out.Logits[i*c.Classes : (i+1)*c.Classes]
		if slices.Index(final, slices.Max(final)) == int(labels[i]) {
			correct++
		}
	}
	if math.Abs(stats.MeanDepth-mean) > 1e-9 || stats.Correct != correct {
		t.Errorf("training says depth %v and %d correct, inference %v and %d", stats.MeanDepth, stats.Correct, mean, correct)
	}
	if adaptive := scheme.Scheme != "none"; adaptive == (slices.Min(depth) == slices.Max(depth)) {
		t.Errorf("depths run from %d to %d: the test shows little", slices.Min(depth), slices.Max(depth))
	}
}
