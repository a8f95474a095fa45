package parallel

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/adavit/adavit/internal/usage"
)

func TestFor(t *testing.T) {
	for _, workers := range []int{0, 1, 3, 8} {
		var done [5]atomic.Int32
		For(workers, len(done), func(worker, i int) {
			if worker < 0 || worker >= max(workers, 1) {
				t.Errorf("worker %d of %d", worker, workers)
			}
			done[i].Add(1)
		})
		for i := range done {
			if n := done[i].Load(); n != 1 {
				t.Errorf("%d workers: task %d ran %d times", workers, i, n)
			}
		}
	}
}

// TestForPanics makes sure that a panic in a goroutine can be recovered from by the caller.
func TestForPanics(t *testing.T) {
	defer func() {
		if p := recover(); p != "a bug" {
			t.Errorf("recovered %v", p)
		}
	}()
	For(4, 100, func(_, i int) {
		if i == 50 {
			panic("a bug")
		}
	})
	t.Error("no panic came out")
}

func TestThreads(t *testing.T) {
	for _, c := range []struct{ n, want int }{{0, 1}, {1, 1}, {7, 7}, {-1, 0}, {MaxThreads + 1, 0}} {
		got, err := Threads(c.n)
		switch {
		case c.want == 0:
			if !errors.Is(err, usage.Err) {
				t.Errorf("Threads(%d): %d, %v; want an error of usage", c.n, got, err)
			}
		case err != nil || got < c.want || c.n > 0 && got != c.n:
			t.Errorf("Threads(%d): %d, %v", c.n, got, err)
		}
	}
}
