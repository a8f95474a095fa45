package kernels

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// awkward are the sizes at which tiles, vectors and unrolled loops end.
var awkward = []int{0, 1, 7, 15, 16, 17, 31, 33, 197}

// variants are paths as other machines would have them: without instructions that this one has.
var variants []*path

// eachPath runs f once on every implementation that this machine has.
func eachPath(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer func(old *path) { active = old }(active)
	for _, p := range slices.Concat(paths, variants) {
		t.Run(p.name, func(t *testing.T) {
			active = p
			f(t)
		})
	}
}

// normal returns n numbers of a normal density with deviation 1.
func normal(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

// canary is what a test puts where a routine must not write.
const canary = 12345.5

// matrix is [rows, cols] of row stride ld > cols in the middle of a slice whose other floats are canaries.
type matrix struct {
	all, data      []float32
	rows, cols, ld int
}

const margin = 64

func newMatrix(rows, cols, ld int, value func() float32) matrix {
	all := make([]float32, margin+rows*ld+margin)
	for i := range all {
		all[i] = canary
	}
	m := matrix{all, all[margin : len(all)-margin], rows, cols, ld}
	for i := range rows {
		for j := range cols {
			m.data[i*ld+j] = value()
		}
	}
	return m
}

func randomMatrix(rng *rand.Rand, rows, cols, ld int) matrix {
	return newMatrix(rows, cols, ld, func() float32 { return float32(rng.NormFloat64()) })
}

func (m matrix) at(i, j int) float64 { return float64(m.data[i*m.ld+j]) }

func (m matrix) clone() matrix {
	all := append([]float32(nil), m.all...)
	return matrix{all, all[margin : len(all)-margin], m.rows, m.cols, m.ld}
}

// checkCanaries fails if anything outside the matrix was written.
func (m matrix) checkCanaries(t *testing.T) {
	t.Helper()
	for i, v := range m.all {
		row, col := (i-margin)/max(m.ld, 1), (i-margin)%max(m.ld, 1)
		if i >= margin && row < m.rows && col < m.cols {
			continue
		}
		if v != canary {
			t.Fatalf("[%d, %d] of stride %d: float %d outside was overwritten by %v", m.rows, m.cols, m.ld, i-margin, v)
		}
	}
}

// close fails if got is further from want than the tolerance times 1 + |want|.
func close(t *testing.T, what string, got float32, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(float64(got)-want) <= tolerance*(1+math.Abs(want))) {
		t.Fatalf("%s = %v, want %v", what, got, want)
	}
}

// reportPeak is reportPeakOf for the multiply-adds of float32.
func reportPeak(b *testing.B, flops int, f func()) { reportPeakOf(b, PeakFLOPS, flops, f) }

// reportPeakOf runs f, which does ops operations, and reports their rate and its share of the peak, the best of some
// rounds of each taken in turns.
func reportPeakOf(b *testing.B, peakRate func(time.Duration) float64, ops int, f func()) {
	f()
	best, peak := math.Inf(1), 0.0
	for range b.N {
		for round := range 20 {
			if round%4 == 0 {
				peak = max(peak, peakRate(time.Millisecond))
			}
			start := time.Now()
			for range 4 {
				f()
			}
			best = min(best, time.Since(start).Seconds()/4)
		}
	}
	b.ReportMetric(float64(ops)/best/1e9, "Gop/s")
	b.ReportMetric(100*float64(ops)/best/peak, "%peak")
	b.ReportMetric(best*1e6, "best-µs")
}

// reportVectors runs f, which works on n floats, and reports the time that the best of some rounds took for 16 of them.
func reportVectors(b *testing.B, n int, f func()) {
	f()
	best := math.Inf(1)
	for range b.N {
		for range 50 {
			start := time.Now()
			for range 4 {
				f()
			}
			best = min(best, float64(time.Since(start).Nanoseconds())/4)
		}
	}
	b.ReportMetric(best/float64(n)*16, "ns/16floats")
}
