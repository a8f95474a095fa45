package infer

import (
	"fmt"
	"testing"
	"time"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// BenchmarkDense runs dense models on one thread and two. "peak" is the share of the FMA rate of one core (times
// threads), measured right before; the multiply-adds are those that the engine performs (Engine.MACs), not the nominal
// ones.
func BenchmarkDense(b *testing.B) {
	for _, m := range []struct {
		variant string
		batch   int
	}{{"fashion", 256}, {"deit-tiny", 16}, {"deit-small", 8}} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", m.variant, threads), func(b *testing.B) {
				benchmark(b, m.variant, m.batch, options{Threads: threads})
			})
		}
	}
}

// BenchmarkProfile lets the share of active patch tokens fall linearly from 1.0 to 0.1 over the blocks.
func BenchmarkProfile(b *testing.B) {
	for _, m := range []struct {
		variant string
		batch   int
	}{{"fashion", 256}, {"deit-tiny", 16}, {"deit-small", 8}} {
		b.Run(m.variant, func(b *testing.B) {
			benchmark(b, m.variant, m.batch, options{Scheme: falling(b, m.variant)})
		})
	}
}

// falling is the profile of shares from 1.0 in block 1 to 0.1 in block L.
func falling(t testing.TB, variant string) halting.Scheme {
	c, err := vit.Variant(variant)
	if err != nil {
		t.Fatal(err)
	}
	active := make([]float64, c.Layers)
	for l := range active {
		active[l] = 1 - 0.9*float64(l)/float64(c.Layers-1)
	}
	profile, err := halting.NewFixedShares(active)
	if err != nil {
		t.Fatal(err)
	}
	return profile
}

func benchmark(b *testing.B, variant string, batch int, o options) {
	c, err := vit.Variant(variant)
	if err != nil {
		b.Fatal(err)
	}
	e := newEngine(b, vit.Initialize(c, 1, 0), o)
	defer e.Close()
	images := drawImages(c, batch, 1)
	var out Output
	if err := e.Run(background, Batch{Images: images}, &out); err != nil {
		b.Fatal(err)
	}
	macs := e.MACs(out.Active[:c.Layers])
	peak := kernels.PeakFLOPS(50 * time.Millisecond)
	for b.Loop() {
		if err := e.Run(background, Batch{Images: images}, &out); err != nil {
			b.Fatal(err)
		}
	}
	rate := float64(batch*b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "img/s")
	b.ReportMetric(2*rate*float64(macs)/1e9, "GFLOP/s")
	b.ReportMetric(2*rate*float64(macs)/peak/float64(e.options.Threads), "peak")
}
