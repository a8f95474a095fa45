package report

import (
	"cmp"
	"fmt"
	"slices"
)

// Tally adds up the depths of the patch tokens in the images that one model saw. It is not safe for concurrent use.
type Tally struct {
	layers, gridW, gridH int
	classes              []string

	images  int
	byDepth []int // [layers+1]: tokens that ran in so many blocks
	byPlace []int // [gridH, gridW]: sum of depths
	byEnd   []int // [layers+1]: images that ended after so many blocks; 0: not known
	ofClass []classSum
}

// classSum adds up the images of a class.
type classSum struct{ images, right, tokens, depth int }

// Seen is what became of one image.
type Seen struct {
	Class int   // index of the true class, or −1
	Right bool  // that class was predicted
	Depth []int // [gridH, gridW] as in Sample
	End   int   // as Sample.ClassDepth
}

// NewTally returns an empty tally for a model of layers blocks over gridH×gridW patch tokens; classes may be nil.
func NewTally(layers, gridW, gridH int, classes []string) (*Tally, error) {
	if layers < 1 || layers > maxLayers || gridW < 0 || gridH < 0 || gridW > maxSide || gridH > maxSide {
		return nil, fmt.Errorf("report: tally of %d blocks over %d×%d patches", layers, gridH, gridW)
	}
	return &Tally{
		layers: layers, gridW: gridW, gridH: gridH, classes: slices.Clone(classes),
		byDepth: make([]int, layers+1), byPlace: make([]int, gridW*gridH),
		byEnd: make([]int, layers+1), ofClass: make([]classSum, len(classes)),
	}, nil
}

// Add counts one image.
func (t *Tally) Add(s Seen) error {
	if len(s.Depth) != len(t.byPlace) {
		return fmt.Errorf("report: tally: %d depths, want %d for a grid of %d×%d", len(s.Depth), len(t.byPlace), t.gridH,
			t.gridW)
	}
	if s.Class < -1 || s.Class >= len(t.classes) && s.Class >= 0 && len(t.classes) > 0 {
		return fmt.Errorf("report: tally: class %d of %d", s.Class, len(t.classes))
	}
	if k := impossible(s.Depth, t.layers); k >= 0 {
		return fmt.Errorf("report: tally: token %d ran in %d of %d blocks", k, s.Depth[k], t.layers)
	}
	if s.End < 0 || s.End > t.layers {
		return fmt.Errorf("report: tally: an image ended after %d of %d blocks", s.End, t.layers)
	}
	sum, tokens := s.End, len(s.Depth)
	for k, d := range s.Depth {
		t.byDepth[d]++
		t.byPlace[k] += d
		sum += d
	}
	t.images++
	t.byEnd[s.End]++
	if s.End > 0 {
		tokens++
	}
	if s.Class >= 0 && s.Class < len(t.classes) {
		c := &t.ofClass[s.Class]
		c.images, c.tokens, c.depth = c.images+1, c.tokens+tokens, c.depth+sum
		if s.Right {
			c.right++
		}
	}
	return nil
}

// Images is the number of images added.
func (t *Tally) Images() int { return t.images }

// active returns [layers]: entry l−1 is the share of all tokens that ran in block l; NaN where nothing was added.
func (t *Tally) active() []float64 {
	out, total, alive := make([]float64, t.layers), t.images*len(t.byPlace), 0
	for l := t.layers; l >= 1; l-- {
		alive += t.byDepth[l]
		out[l-1] = float64(alive) / float64(total)
	}
	return out
}

// places returns [gridH, gridW] means: the depth of the token at each place; NaN where nothing was added.
func (t *Tally) places() []float64 {
	out := make([]float64, len(t.byPlace))
	for k, sum := range t.byPlace {
		out[k] = float64(sum) / float64(t.images)
	}
	return out
}

// ClassMean is what the images of a class cost on average, and how many of them were classified rightly.
type ClassMean struct {
	Class  int
	Name   string
	Images int
	Depth  float64 // blocks, mean over tokens as a Sample's: the class token counts where its depth is known
	Top1   float64 // percent of the images
}

// Classes returns the means of each class that has images, the cheapest first.
func (t *Tally) Classes() []ClassMean {
	var out []ClassMean
	for i, c := range t.ofClass {
		if c.tokens > 0 {
			out = append(out, ClassMean{i, t.classes[i], c.images, float64(c.depth) / float64(c.tokens),
				100 * float64(c.right) / float64(c.images)})
		}
	}
	slices.SortStableFunc(out, func(a, b ClassMean) int { return cmp.Compare(a.Depth, b.Depth) })
	return out
}

// TwoEnds returns a list of at most so many: of a longer one its beginning and its end.
func TwoEnds[T any](list []T, most int) []T {
	if len(list) <= most {
		return list
	}
	return slices.Concat(list[:most-most/2], list[len(list)-most/2:])
}

// charts returns what a page shows of t, which may be nil or empty.
func (t *Tally) charts() []drawable {
	if t == nil || t.images == 0 {
		return nil
	}
	dense := Series{Name: "dense", Y: slices.Repeat([]float64{1}, t.layers), Dashed: true}
	out := []drawable{
		Chart{
			Title: "Alive in each block", XLabel: "block", YLabel: "share of tokens", shares: true,
			Series: []Series{{Name: "alive", Y: t.active()}, dense},
		},
		depthBars(t.byDepth[1:]),
	}
	if early := t.images - t.byEnd[0] - t.byEnd[t.layers]; early > 0 {
		out = append(out, endBars(t.byEnd[1:]))
	}
	if len(t.byPlace) > 0 {
		out = append(out, placeMap(t.places(), t.gridW, t.gridH, t.layers))
	}
	if c := t.Classes(); len(c) > 1 {
		out = append(out, classBars(c, t.layers))
	}
	return out
}
