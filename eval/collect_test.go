package eval

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/report"
)

// TestCollectWithExit: the pictures of a report end where their images do, what is counted goes no further, and easy
// and hard images are the extremes of what single runs cost.
func TestCollectWithExit(t *testing.T) {
	const images = 400
	m, d := controlled("exit", tokentest.Kinds[0]), modeltest.Fashion(t)
	e, c := modeltest.Engine(t, m.Params, infer.F32, infer.Options{}), m.Params.Config
	results, col, err := Collect(t.Context(), d, Options{Limit: images, Precision: infer.F32}, m)
	if err != nil {
		t.Fatal(err)
	}
	depth, macs, ends := 0.0, 0.0, map[int]int{}
	blocks := make([][]int, c.Classes) // of each class's images that are classified rightly
	for i := range images {
		out := runImage(t, e, m, d, i)
		sum := 0
		for _, d := range out.Depth {
			sum += int(d)
		}
		depth += float64(sum) / float64(c.Tokens()*images)
		if rank, err := rankOf(out.Logits, d.Label(i)); err != nil || rank == 0 {
			blocks[d.Label(i)] = append(blocks[d.Label(i)], sum)
		}
		macs += float64(c.MACs(out.Active)) / images
	}
	for _, s := range col.Samples() {
		if slices.Max(s.Depth) > s.ClassDepth || s.ClassDepth < c.Layers && s.Probability < 0.45-1e-6 {
			t.Errorf("an image ends in block %d with probability %v, its patches in %v", s.ClassDepth, s.Probability, s.Depth)
		}
		ends[s.ClassDepth]++
	}
	if len(ends) < 3 {
		t.Errorf("images end in blocks %v: the test shows little", ends)
	}
	top1 := 0.0
	for _, class := range col.Tally.Classes() {
		right := blocks[class.Class]
		if want := 100 * float64(len(right)) / float64(class.Images); class.Top1 != want {
			t.Errorf("%s: top-1 %v, want %v", class.Name, class.Top1, want)
		}
		top1 += class.Top1 * float64(class.Images) / images
	}
	for i, c := range col.Contrasts {
		right := blocks[c.Class]
		cost := func(s report.Sample) (sum int) {
			for _, d := range s.Depth {
				sum += d
			}
			return sum + s.ClassDepth
		}
		if cost(c.Easy) != slices.Min(right) || cost(c.Hard) != slices.Max(right) || cost(c.Easy) == cost(c.Hard) ||
			c.Easy.Predicted != c.Name || c.Hard.Predicted != c.Name || bytes.Equal(c.Easy.Pixels, c.Hard.Pixels) {
			t.Errorf("%s: easy %d, hard %d of %v", c.Name, cost(c.Easy), cost(c.Hard), right)
		}
		if i > 0 && c.Depth < col.Contrasts[i-1].Depth {
			t.Errorf("%s comes after a dearer class", c.Name)
		}
		blocks[c.Class] = nil
	}
	for class, right := range blocks {
		if len(right) > 0 && slices.Min(right) < slices.Max(right) {
			t.Errorf("class %d: nothing easy and hard of %v", class, right)
		}
	}
	if len(col.Contrasts) == 0 {
		t.Error("no contrasts: the test shows little")
	}
	if r := results[0]; math.Abs(r.Top1-top1) > 1e-9 || math.Abs(r.MeanDepth-depth) > 1e-9 ||
		math.Abs(r.MACs-macs) > 0.5 {
		t.Errorf("top-1 %v, depth %v and %v MACs, want %v, %v and %v", r.Top1, r.MeanDepth, r.MACs, top1, depth, macs)
	}
}
