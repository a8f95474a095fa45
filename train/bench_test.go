package train

import (
	"fmt"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/models"
	"github.com/adavit/adavit/vit"
)

// BenchmarkStep is a training step of the bundled Fashion-MNIST models (E 96, 12 blocks, 50 tokens) on batches of 64 of the bundled test
// images: augmentation, forward, backward and update. The adaptive model's tokens halt where they have learnt to.
func BenchmarkStep(b *testing.B) {
	pictures, err := data.FashionMNISTTest()
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"fashion-dense", "fashion-adaptive"} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(b *testing.B) {
				m, err := vit.LoadFS(models.FS, name)
				if err != nil {
					b.Fatal(err)
				}
				r := DefaultRecipe()
				r.LabelSmoothing, r.DropPath, r.AlphaPonder, r.AlphaPrior, r.TargetLayer, r.EMA = 0.1, 0.05, 5e-4, 0.1, 6, 0.9995
				r.Augment = data.Augment{Shift: 2, Flip: true, EraseProb: 0.25, EraseMax: 0.3}
				p := m.Params
				augmenter, err := data.NewAugmenter(r.Augment, pictures, m.Preprocessor, p.Config.Channels, p.Config.Height, p.Config.Width)
				if err != nil {
					b.Fatal(err)
				}
				net, err := NewNetwork(p, threads)
				if err != nil {
					b.Fatal(err)
				}
				grad, opt, labels := vit.NewParams(p.Config), newOptimizer(p), make([]int32, r.Batch)
				depth := 0.0
				for b.Loop() {
					for i := range labels {
						labels[i] = int32(pictures.Label(i))
					}
					stats, err := net.Step(Batch{Size: r.Batch, Labels: labels, Load: func(i int, dst []float32) error {
						_, err := augmenter.Load(dst, i, data.Rand(r.Seed, 0, uint64(i)))
						return err
					}}, r.loss(), grad)
					if err != nil {
						b.Fatal(err)
					}
					opt.update(net, p, grad, r, 1e-6)
					depth += stats.MeanDepth
				}
				b.ReportMetric(float64(b.N*r.Batch)/b.Elapsed().Seconds(), "images/s")
				b.ReportMetric(depth/float64(b.N), "depth")
			})
		}
	}
}
