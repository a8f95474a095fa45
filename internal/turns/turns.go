// Package turns measures contenders side by side: they take turns in one process, so that whatever else the machine
// does slows all of them alike, and figures are medians over the rounds.
package turns

import (
	"context"
	"math"
	"slices"
)

// Order returns which of n contenders goes when in a round: another begins each time, and every other round runs
// backwards. Neighbours stay neighbours.
func Order(n, round int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = (round/2 + i) % n
		if round%2 == 1 {
			order[i] = (round/2 + n - i) % n
		}
	}
	return order
}

// Play gives each of n contenders its turn in every round. It ends with the first error of a turn, or ctx's. done,
// which may be nil, is told after each turn how many there were.
func Play(ctx context.Context, rounds, n int, turn func(round, contender int) error, done func(turns int)) error {
	for round := range rounds {
		for i, contender := range Order(n, round) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := turn(round, contender); err != nil {
				return err
			}
			if done != nil {
				done(round*n + i + 1)
			}
		}
	}
	return nil
}

// Median returns the median of the values, which are left as they are; NaN of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// MedianRatio returns the median of a[i]/b[i]: two contenders' figures, round by round.
func MedianRatio(a, b []float64) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	return Median(ratios)
}

// Percentile returns the smallest value that at least p percent of the values do not exceed; NaN of none.
func Percentile(values []float64, p int) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	return v[max((len(v)*p+99)/100-1, 0)]
}
