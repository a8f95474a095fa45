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
	all, tokens := 0.0, 0.0
	for i := range images {
		s := Sample{Layers: layers, GridW: w, GridH: h, Depth: make([]int, w*h), ClassDepth: i % (layers + 1)}
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
			active[l] += float64(s.Alive(l+1)) / (w * h * images)
		}
		n := float64(w * h)
		if s.ClassDepth > 0 {
			n++
		}
		all, tokens = all+s.MeanDepth()*n, tokens+n
		if err := tally.Add(i%2, s.Depth, s.ClassDepth); err != nil {
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
	near("mean depth", tally.MeanDepth(), all/tokens)
	for d, n := range tally.Histogram() {
		near("histogram", float64(n), float64(hist[d]))
	}
	for l, v := range tally.Active() {
		near("active", v, active[l])
	}
	for k, v := range tally.Places() {
		near("places", v, place[k])
	}
	classes := tally.Classes()
	if len(classes) != 2 {
		t.Fatalf("classes %v, want two", classes)
	}
	for c, m := range classes {
		near("class "+m.Name, m.Mean, classSum[c]/classN[c])
		near("images of class "+m.Name, float64(m.Images), images/2)
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
		class, classDepth int
		depth             []int
	}{{0, 1, []int{1}}, {0, 1, []int{1, 5}}, {0, 1, []int{-1, 1}}, {0, 5, []int{1, 1}}, {0, -1, []int{1, 1}}, {1, 1, []int{1, 1}}, {-2, 1, []int{1, 1}}} {
		if err := tally.Add(c.class, c.depth, c.classDepth); err == nil {
			t.Errorf("case %d: no error", i)
		}
	}
	if tally.Images() != 0 || fmt.Sprint(tally.Histogram()) != "[0 0 0 0]" || !math.IsNaN(tally.MeanDepth()) {
		t.Error("an image that was refused was counted")
	}
	if err := tally.Add(-1, []int{1, 4}, 0); err != nil || tally.MeanDepth() != 2.5 {
		t.Errorf("mean depth %v, error %v", tally.MeanDepth(), err)
	}
}

func TestClassBars(t *testing.T) {
	var many []ClassMean
	for i := range 1000 {
		many = append(many, ClassMean{fmt.Sprintf("class %d with a long name", i), float64(i%12) + 0.5, 3})
	}
	v := classBars(many, 12)
	if len(v.Bars) != maxClasses || !strings.HasPrefix(v.Bars[0].About, "class 11 ") || !strings.Contains(v.Bars[maxClasses-1].About, ": 0.50 blocks") {
		t.Errorf("%d bars, first %q, last %q", len(v.Bars), v.Bars[0].About, v.Bars[len(v.Bars)-1].About)
	}
	if many[0].Name != "class 0 with a long name" {
		t.Error("the caller's list was sorted")
	}
}
