package main

import (
	"math"
	"slices"
)

// median of the values, which are left as they are; NaN of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// percentile returns the smallest value that at least p percent of the values do not exceed.
func percentile(values []float64, p int) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	return v[max((len(v)*p+99)/100-1, 0)]
}

// span is a value and how far it went.
type span struct{ value, low, high float64 }

// milliseconds is the median over all batches, and the smallest and largest median of a round.
func (e *entry) milliseconds() span {
	s := span{median(slices.Concat(e.rounds...)), math.Inf(1), math.Inf(-1)}
	for _, r := range e.rounds {
		m := median(r)
		s.low, s.high = min(s.low, m), max(s.high, m)
	}
	return s
}

// speedup is how many times faster e is than other: the ratio of their medians, and the smallest and largest ratio within one round.
func (e *entry) speedup(other *entry) span {
	s := span{other.milliseconds().value / e.milliseconds().value, math.Inf(1), math.Inf(-1)}
	for i := range min(len(e.rounds), len(other.rounds)) {
		r := median(other.rounds[i]) / median(e.rounds[i])
		s.low, s.high = min(s.low, r), max(s.high, r)
	}
	return s
}
