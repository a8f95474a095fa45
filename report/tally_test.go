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
	var classSum, classTokens, classRight [2]float64
	var ends [layers + 1]int
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
			classTokens[i%2]++
		}
		seen := Seen{Class: i % 2, Right: rng.IntN(3) > 0, Depth: s.Depth, End: rng.IntN(layers + 1)}
		if ends[seen.End]++; seen.End > 0 {
			classSum[i%2] += float64(seen.End)
			classTokens[i%2]++
		}
		if seen.Right {
			classRight[i%2]++
		}
		for l := range layers {
			active[l] += float64(s.alive(l+1)) / (w * h * images)
		}
		if err := tally.Add(seen); err != nil {
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
	for l, n := range tally.byEnd {
		near("ends", float64(n), float64(ends[l]))
	}
	classes := tally.Classes()
	if len(classes) != 2 || classes[0].Depth > classes[1].Depth {
		t.Fatalf("classes %v, want two, the cheapest first", classes)
	}
	for _, m := range classes {
		c := m.Class
		near("class "+m.Name, m.Depth, classSum[c]/classTokens[c])
		near("images of class "+m.Name, float64(m.Images), images/2)
		near("top-1 of class "+m.Name, m.Top1, 100*classRight[c]/(images/2))
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
	for i, s := range []Seen{{Depth: []int{1}}, {Depth: []int{1, 5}}, {Depth: []int{-1, 1}}, {1, false, []int{1, 1}, 0},
		{-2, false, []int{1, 1}, 0}, {0, true, []int{1, 1}, 5}, {0, true, []int{1, 1}, -1}} {
		if err := tally.Add(s); err == nil {
			t.Errorf("case %d: no error", i)
		}
	}
	if tally.Images() != 0 || fmt.Sprint(tally.byDepth) != "[0 0 0 0 0]" || fmt.Sprint(tally.byPlace) != "[0 0]" {
		t.Error("an image that was refused was counted")
	}
	if err := tally.Add(Seen{Class: -1, Depth: []int{1, 4}}); err != nil || fmt.Sprint(tally.places()) != "[1 4]" {
		t.Errorf("depths %v, error %v", tally.places(), err)
	}
}

func TestClassBars(t *testing.T) {
	var many []ClassMean
	for i := range 1000 {
		many = append(many, ClassMean{i, fmt.Sprintf("class %d with a long name", i), 3, float64(i/100) + 0.5, 100})
	}
	v := classBars(many, 12)
	if len(v.Bars) != maxClasses || v.Title != "Cheapest and dearest classes" {
		t.Fatalf("%s: %d bars", v.Title, len(v.Bars))
	}
	first, last := v.Bars[0].About, v.Bars[maxClasses-1].About
	if !strings.HasPrefix(first, "class 0 with a long name: 0.50 blocks, mean of 3 images, of which 100.0 %") ||
		!strings.HasPrefix(last, "class 999 ") || !strings.Contains(last, ": 9.50 blocks") {
		t.Errorf("first bar %q, last %q", first, last)
	}
	for n, want := range map[int]string{0: "[]", 1: "[1]", 2: "[1 9]", 3: "[1 2 9]", 9: "[1 2 3 4 5 6 7 8 9]"} {
		if got := fmt.Sprint(TwoEnds([]int{1, 2, 3, 4, 5, 6, 7, 8, 9}, n)); got != want {
			t.Errorf("two ends of nine, %d at most: %s, want %s", n, got, want)
		}
	}
}
