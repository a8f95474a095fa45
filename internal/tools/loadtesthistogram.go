package tools

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts durations in a fixed room, however many there are: exact below 512 ns, above that in steps of less
// than 0.4 % of the value, up to maxObserved.
type histogram struct {
	counts [histogramSize]int64
	n      int64
	sum    float64 // nanoseconds
	max    time.Duration
}

const (
	histogramBits = 8 // a power of two is cut into 2^histogramBits steps
	histogramSize = 40 << histogramBits
	maxObserved   = 24 * time.Hour // which is in the last power
)

// slot is the place of a duration.
func slot(d time.Duration) int {
	v := uint64(min(max(d, 0), maxObserved))
	shift := max(bits.Len64(v)-histogramBits-1, 0)
	return shift<<histogramBits + int(v>>shift)
}

// middle is the duration that stands for all of a slot.
func middle(slot int) float64 {
	if slot < 2<<histogramBits {
		return float64(slot)
	}
	shift := slot>>histogramBits - 1
	return (float64(slot-shift<<histogramBits) + 0.5) * float64(uint64(1)<<shift)
}

// add counts a duration.
func (h *histogram) add(d time.Duration) {
	h.counts[slot(d)]++
	h.n++
	h.sum += float64(max(d, 0))
	h.max = max(h.max, d)
}

// rank is the duration, in milliseconds, that k of all durations do not exceed, 1 ≤ k ≤ n.
func (h *histogram) rank(k int64) float64 {
	for i, c := range h.counts {
		if k -= c; k <= 0 {
			return min(middle(i), float64(h.max)) / 1e6
		}
	}
	return float64(h.max) / 1e6
}

// quantile is the smallest duration, in milliseconds, that a share of at least q does not exceed; NaN of none.
func (h *histogram) quantile(q float64) float64 {
	if h.n == 0 {
		return math.NaN()
	}
	return h.rank(max(int64(math.Ceil(q*float64(h.n)-1e-9)), 1))
}

// interval is the 95 % confidence interval of a quantile, in milliseconds, by the binomial distribution of ranks. It
// takes the durations as independent; those of requests that queue behind each other are not, so that it is narrow.
func (h *histogram) interval(q float64) (low, high float64) {
	if h.n == 0 {
		return math.NaN(), math.NaN()
	}
	n := float64(h.n)
	spread := 1.96 * math.Sqrt(n*q*(1-q))
	return h.rank(max(int64(math.Floor(n*q-spread)), 1)), h.rank(min(int64(math.Ceil(n*q+spread))+1, h.n))
}

// mean is in milliseconds; NaN of none.
func (h *histogram) mean() float64 { return h.sum / float64(h.n) / 1e6 }
