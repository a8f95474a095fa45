package xla

import (
	"slices"
	"testing"

	"github.com/adavit/adavit/vit"
)

// TestSchedule: it widens at once, narrows when rows have long been to spare, and grows narrower from block to block.
func TestSchedule(t *testing.T) {
	s, err := newSchedule(vit.Config{Height: 28, Width: 28, Patch: 4, Layers: 4}, 5)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.sizes, []int{10, 20, 30, 40, 50}) || !slices.Equal(s.now, []int{50, 50, 50, 50}) {
		t.Fatalf("sizes %v, at first %v", s.sizes, s.now)
	}
	for range Patience - 1 {
		if !s.fits([]int{50, 31, 15, 20}) || s.now[1] != 50 {
			t.Fatalf("narrowed to %v too soon", s.now)
		}
	}
	if !s.fits([]int{50, 31, 12, 3}) || !slices.Equal(s.now, []int{50, 40, 20, 20}) {
		t.Errorf("after many passes: %v", s.now)
	}
	if s.fits([]int{50, 31, 25, 1}) || !slices.Equal(s.now, []int{50, 40, 30, 20}) {
		t.Errorf("after one that needed more: %v", s.now)
	}
	if !s.fits([]int{50, 31, 25, 1}) {
		t.Error("what it was widened for does not fit")
	}
}

// TestBuckets: gathering the rows that run changes neither figures nor gradients; and where rows are too few, the pass
// is taken again.
func TestBuckets(t *testing.T) {
	for _, name := range []string{"credit, registers halt", "exit, two heads"} {
		t.Run(name, func(t *testing.T) {
			parity(t, problems()[name], 1, Options{Buckets: 4}, func(b *Stepper) {
				for l := range b.schedule.now { // far too narrow at first
					b.schedule.now[l] = b.schedule.sizes[max(0, 2-l)]
				}
			})
		})
	}
}
