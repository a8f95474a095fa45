package main

import (
	"math"
	"slices"

	"github.com/adavit/adavit/internal/turns"
)

// span is a value and how far it went.
type span struct{ value, low, high float64 }

// milliseconds is the median over all batches, and the smallest and largest median of a round.
func (e *entry) milliseconds() span {
	s := span{turns.Median(slices.Concat(e.rounds...)), math.Inf(1), math.Inf(-1)}
	for _, r := range e.rounds {
		m := turns.Median(r)
		s.low, s.high = min(s.low, m), max(s.high, m)
	}
	return s
}

// speedup is how many times faster e is than other: the ratio of their medians, and the smallest and largest ratio
// within one round.
func (e *entry) speedup(other *entry) span {
	s := span{other.milliseconds().value / e.milliseconds().value, math.Inf(1), math.Inf(-1)}
	for i := range min(len(e.rounds), len(other.rounds)) {
		r := turns.Median(other.rounds[i]) / turns.Median(e.rounds[i])
		s.low, s.high = min(s.low, r), max(s.high, r)
	}
	return s
}
