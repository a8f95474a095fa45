package turns

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// TestOrder: everybody has one turn a round, each begins as often as the others, and neighbours stay neighbours on the
// circle.
func TestOrder(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 9} {
		first := make([]int, n)
		for round := range 2 * n {
			turns := Order(n, round)
			first[turns[0]]++
			for i, side := range slices.Sorted(slices.Values(turns)) {
				if side != i {
					t.Fatalf("%d sides, round %d: %v", n, round, turns)
				}
			}
			for i := 1; i < n; i++ {
				if d := (turns[i] - turns[i-1] + n) % n; d != 1 && d != n-1 {
					t.Fatalf("%d sides, round %d: %v jumps", n, round, turns)
				}
			}
		}
		if slices.Min(first) != 2 || slices.Max(first) != 2 {
			t.Errorf("%d sides began %v times in %d rounds", n, first, 2*n)
		}
	}
}

func TestStatistics(t *testing.T) {
	if !math.IsNaN(Median(nil)) || !math.IsNaN(Percentile(nil, 50)) {
		t.Error("a median of nothing")
	}
	values := []float64{3, 1, 2}
	if Median(values) != 2 || Percentile(values, 99) != 3 || Percentile(values, 1) != 1 || values[0] != 3 {
		t.Error("median, percentile")
	}
	if r := MedianRatio([]float64{2, 9, 3}, []float64{1, 1, 3}); r != 2 {
		t.Errorf("median of 2, 9, 1 is %v", r)
	}
}

// TestPlay counts turns, and stops at an error and at ctx's end.
func TestPlay(t *testing.T) {
	var count [3]int
	last := 0
	turn := func(_, i int) error { count[i]++; return nil }
	err := Play(t.Context(), 4, 3, turn, func(n int) { last = n })
	if err != nil || count != [3]int{4, 4, 4} || last != 12 {
		t.Errorf("%v turns, %d told, %v", count, last, err)
	}
	broken := errors.New("broken")
	if err := Play(t.Context(), 4, 3, func(_, i int) error { return broken }, nil); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Play(ctx, 1, 1, turn, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
