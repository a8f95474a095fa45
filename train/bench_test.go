package train

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/models"
	"github.com/adavit/adavit/vit"
)

// BenchmarkStep is a training step of the bundled Fashion-MNIST models (E 96, 12 blocks, 50 tokens) on batches of 64
// of the bundled test images: augmentation, forward, backward and update. The adaptive model's tokens halt where they
// have learnt to; with credit and a budget it is trained on as recipe fashion-adaptive trains.
func BenchmarkStep(b *testing.B) {
	pictures, err := datasets.FashionMNISTTest()
	if err != nil {
		b.Fatal(err)
	}
	paper := Loss{LabelSmoothing: 0.1, DropPath: 0.05, AlphaPonder: 5e-4, AlphaPrior: 0.1, TargetLayer: 6}
	steered := Loss{LabelSmoothing: 0.1, DropPath: 0.05, Budget: 0.5, TargetLayer: 6}
	for _, of := range []struct {
		name, model  string
		credit, exit float64
		loss         Loss
	}{
		{"dense", "fashion-dense", 0, 0, paper},
		{"adaptive", "fashion-adaptive", 0, 0, paper},
		{"credit", "fashion-adaptive", 1, 0, steered},
		{"exit", "fashion-adaptive", 1, 1, steered},
	} {
		for _, with := range []struct {
			precision string
			threads   int
		}{{F32, 1}, {F32, 2}, {BF16, 1}, {BF16, 2}} {
			b.Run(fmt.Sprintf("%s/%s/threads=%d", of.name, with.precision, with.threads), func(b *testing.B) {
				m, err := vit.LoadFS(models.FS, of.model)
				if err != nil {
					b.Fatal(err)
				}
				s, batch := usual, 64
				s.Loss, s.EMA, s.Precision = of.loss, 0.9995, with.precision
				p := m.Params
				if h := &p.Config.Halting; of.credit > 0 {
					*h = h.With("credit", of.credit).With("exit", of.exit)
				}
				augment := data.Augment{Shift: 2, Flip: true, EraseProb: 0.25, EraseMax: 0.3}
				augmenter, err := data.NewAugmenter(augment, pictures, m.Preprocessor, p.Config.Channels,
					p.Config.Height, p.Config.Width)
				if err != nil {
					b.Fatal(err)
				}
				stepper, err := NewStepper(p, s, with.threads)
				if err != nil {
					b.Fatal(err)
				}
				labels, depth := make([]int32, batch), 0.0
				next := func(int) (Batch, error) {
					for i := range labels {
						labels[i] = int32(pictures.Label(i))
					}
					return Batch{Size: batch, Labels: labels, Load: func(i int, dst []float32) error {
						_, err := augmenter.Load(dst, i, data.Rand(0, 0, uint64(i)))
						return err
					}}, nil
				}
				for b.Loop() {
					stats, err := stepper.Step(Update{LR: 1e-6, Batch: next})
					if err != nil {
						b.Fatal(err)
					}
					depth += stats.MeanDepth
				}
				b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "images/s")
				b.ReportMetric(depth/float64(b.N), "depth")
			})
		}
	}
}

// TestMemory: all that training DeiT-S at 224 on batches of 32 holds, weights and optimizer included, is far below 12
// GB; also where every block is classified, or may be merged. (Memory that is not touched costs nothing here.)
func TestMemory(t *testing.T) {
	c, err := vit.Variant("deit-small")
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"none", "token", "sact", "ponder"} {
		c.Halting = halting.Config{Scheme: scheme}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		p := vit.NewParams(c)
		o, err := NewStepper(p, usual, 2)
		if err != nil {
			t.Fatal(err)
		}
		n := o.net
		shards := n.active(32)
		for len(n.lanes) < min(len(shards), maxLanes) {
			n.lanes = append(n.lanes, vit.NewParams(c))
		}
		runtime.ReadMemStats(&after)
		packed := 2 * 4 * float64(len(p.Data)) // made by the first step: each weight for both directions
		if held := float64(after.TotalAlloc-before.TotalAlloc) + packed; held > 5e9 {
			t.Errorf("scheme %s: %.1f GB are held", scheme, held/1e9)
		} else {
			t.Logf("scheme %s: %.1f GB", scheme, held/1e9)
		}
		runtime.KeepAlive(o)
	}
}
