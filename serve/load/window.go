package load

import (
	"math"
	"time"
)

// The window: what was answered in the last 2 s, in slots of 250 ms. Latencies fall into classes of equal ratio, 16 an
// octave, from 10 µs to 160 s: a percentile is right to 5 %.
const (
	period  = 250 * time.Millisecond
	slots   = 8
	octave  = 16
	buckets = 24 * octave
	finest  = 10e-6 // seconds
)

// window counts answers by latency and adds up their shares.
type window struct {
	counts [slots][buckets]uint32
	all    [buckets]uint32 // the sum over slots
	n      [slots]uint32   // images
	share  [slots]float64  // the sum of their shares
	slot   int             // the current one
}

// add counts an image.
func (w *window) add(latency time.Duration, share float64) {
	b := int(octave * math.Log2(max(latency.Seconds(), finest)/finest))
	b = min(b, buckets-1)
	w.counts[w.slot][b]++
	w.all[b]++
	w.n[w.slot]++
	w.share[w.slot] += share
}

// next forgets the oldest slot and begins another.
func (w *window) next() {
	w.slot = (w.slot + 1) % slots
	if w.n[w.slot] == 0 {
		return
	}
	for b, n := range w.counts[w.slot] {
		w.all[b] -= n
	}
	w.counts[w.slot], w.n[w.slot], w.share[w.slot] = [buckets]uint32{}, 0, 0
}

// images returns how many there are.
func (w *window) images() (n int) {
	for _, m := range w.n {
		n += int(m)
	}
	return n
}

// percentile returns the latency in seconds that a share q of the images keep within, 0 if there are none.
func (w *window) percentile(q float64) float64 {
	rank := int(math.Ceil(q * float64(w.images())))
	if rank == 0 {
		return 0
	}
	for b, n := range w.all {
		if rank <= int(n) { // between the bounds of its class
			return finest * math.Exp2((float64(b)+float64(rank)/float64(n))/octave)
		}
		rank -= int(n)
	}
	return finest * math.Exp2(buckets/octave)
}

// budget returns the mean share of the last second's images, or 0 and false if there were none.
func (w *window) budget() (float64, bool) {
	n, sum := 0, 0.0
	for i := range slots / 2 {
		s := (w.slot + slots - i) % slots
		n += int(w.n[s])
		sum += w.share[s]
	}
	if n == 0 {
		return 0, false
	}
	return sum / float64(n), true
}
