package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestTallyAgainstSamples counts the same images one by one.
func TestTallyAgainstSamples(t *testing.T) {
	const layers, w, h, images = 5, 3, 2, 40
	rng := rand.New(rand.NewPCG(1, 2))
	tally, err := NewTally(layers, w, h, []string{"a", "b", "never"})
	if err != nil {
		t.Fatal(err)
	}
	var hist [layers]int
	var active, place [w * h]float64
	var classSum, classN [2]float64
	for i := range images {
		s := Sample{Layers: layers, GridW: w, GridH: h, Depth: make([]int, w*h)}
		for k := range s.Depth {
			d := rng.IntN(layers + 1)
			s.Depth[k] = d
			if d > 0 {
				hist[d-1]++
			}
			place[k] += float64(d) / images
			classSum[i%2] += float64(d)
			classN[i%2]++
		}
		for l := range layers {
			active[l] += float64(s.alive(l+1)) / (w * h * images)
		}
		if err := tally.Add(i%2, s.Depth); err != nil {
			t.Fatal(err)
		}
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if !(math.Abs(got-want) < 1e-9) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	near("images", float64(tally.Images()), images)
	for d, n := range tally.byDepth[1:] {
		near("histogram", float64(n), float64(hist[d]))
	}
	for l, v := range tally.active() {
		near("active", v, active[l])
	}
	for k, v := range tally.places() {
		near("places", v, place[k])
	}
	classes := tally.classMeans()
	if len(classes) != 2 {
		t.Fatalf("classes %v, want two", classes)
	}
	for c, m := range classes {
		near("class "+m.name, m.mean, classSum[c]/classN[c])
		near("images of class "+m.name, float64(m.images), images/2)
	}
}

func TestTallyErrors(t *testing.T) {
	for _, c := range [][3]int{{0, 1, 1}, {-1, 1, 1}, {12, -1, 1}, {12, 1, -1}, {1 << 40, 1, 1}, {12, 1 << 40, 1}} {
		if _, err := NewTally(c[0], c[1], c[2], nil); err == nil {
			t.Errorf("NewTally%v: no error", c)
		}
	}
	tally, err := NewTally(4, 2, 1, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		class int
		depth []int
	}{{0, []int{1}}, {0, []int{1, 5}}, {0, []int{-1, 1}}, {1, []int{1, 1}}, {-2, []int{1, 1}}} {
		if err := tally.Add(c.class, c.depth); err == nil {
			t.Errorf("case %d: no error", i)
		}
	}
	if tally.Images() != 0 || fmt.Sprint(tally.byDepth) != "[0 0 0 0 0]" || fmt.Sprint(tally.byPlace) != "[0 0]" {
		t.Error("an image that was refused was counted")
	}
	if err := tally.Add(-1, []int{1, 4}); err != nil || fmt.Sprint(tally.places()) != "[1 4]" {
		t.Errorf("depths %v, error %v", tally.places(), err)
	}
}

func TestClassBars(t *testing.T) {
	var many []classMean
	for i := range 1000 {
		many = append(many, classMean{fmt.Sprintf("class %d with a long name", i), float64(i%12) + 0.5, 3})
	}
	v := classBars(many, 12)
	if len(v.Bars) != maxClasses {
		t.Fatalf("%d bars", len(v.Bars))
	}
	first, last := v.Bars[0].About, v.Bars[maxClasses-1].About
	if !strings.HasPrefix(first, "class 11 ") || !strings.Contains(last, ": 0.50 blocks") {
		t.Errorf("first bar %q, last %q", first, last)
	}
	if many[0].name != "class 0 with a long name" {
		t.Error("the caller's list was sorted")
	}
}
