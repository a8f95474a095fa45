package data

import (
	"slices"
	"sync"
	"testing"
)

func TestRepeatedOrder(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 11} {
		order := Order(7, 2, n)
		for _, repeats := range []int{-1, 0, 1, 2, 3, 20} {
			got := RepeatedOrder(7, 2, n, repeats)
			if len(got) != n {
				t.Fatalf("%d positions, want %d", len(got), n)
			}
			for k, i := range got {
				if want := order[k/max(repeats, 1)]; i != want {
					t.Errorf("n %d, repeats %d: position %d holds %d, want %d", n, repeats, k, i, want)
				}
			}
		}
	}
	// By hand: Order(1, 0, 5) three times in a row, cut to 5.
	o := Order(1, 0, 5)
	if got := RepeatedOrder(1, 0, 5, 3); !slices.Equal(got, []int{o[0], o[0], o[0], o[1], o[1]}) {
		t.Errorf("%v of %v", got, o)
	}
}

// TestSequence asks for positions of three epochs at once.
func TestSequence(t *testing.T) {
	const n = 50
	for _, repeats := range []int{1, 3} {
		s := NewSequence(5, n, repeats)
		var wait sync.WaitGroup
		for worker := range 4 {
			wait.Go(func() {
				for k := range 3 * n {
					epoch, position := (k+worker)%3, (7*k+worker)%n
					if got, want := s.At(epoch, position),
						RepeatedOrder(5, uint64(epoch), n, repeats)[position]; got != want {
						t.Errorf("epoch %d, position %d: %d, want %d", epoch, position, got, want)
						return
					}
				}
			})
		}
		wait.Wait()
	}
}
