package train

import (
	"testing"

	"github.com/adavit/adavit/vit"
)

// BenchmarkStep is forward, backward and update of the Fashion-MNIST model: E 96, 12 blocks, 50 tokens, batch 64.
func BenchmarkStep(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(map[int]string{1: "1thread", 2: "2threads"}[threads], func(b *testing.B) {
			c, err := vit.Variant("fashion")
			if err != nil {
				b.Fatal(err)
			}
			p := vit.Initialize(c, 1, 0)
			net, err := NewNetwork(p, threads)
			if err != nil {
				b.Fatal(err)
			}
			batch, grad, opt, r := randomBatch(c, 64, 1), vit.NewParams(c), newOptimizer(p), DefaultRecipe()
			r.EMA = 0.999
			for b.Loop() {
				if _, err := net.Step(batch, Loss{LabelSmoothing: 0.1, DropPath: 0.1}, grad); err != nil {
					b.Fatal(err)
				}
				opt.update(net, p, grad, r, 1e-4)
			}
			b.ReportMetric(float64(b.N*batch.Size)/b.Elapsed().Seconds(), "images/s")
		})
	}
}
