package report

import (
	"fmt"
	"slices"
)

// Tally adds up the depths of the patch tokens in the images that one model saw. It is not safe for concurrent use.
type Tally struct {
	layers, gridW, gridH int
	classes              []string

	images   int
	byDepth  []int // [layers+1]: tokens that ran in so many blocks
	byPlace  []int // [gridH, gridW]: sum of depths
	ofClass  []int // images of each class
	sumClass []int // sum of their tokens' depths
}

// NewTally returns an empty tally for a model of layers blocks over gridH×gridW patch tokens; classes may be nil.
func NewTally(layers, gridW, gridH int, classes []string) (*Tally, error) {
	if layers < 1 || layers > maxLayers || gridW < 0 || gridH < 0 || gridW > maxSide || gridH > maxSide {
		return nil, fmt.Errorf("report: tally of %d blocks over %d×%d patches", layers, gridH, gridW)
	}
	return &Tally{
		layers: layers, gridW: gridW, gridH: gridH, classes: slices.Clone(classes),
		byDepth: make([]int, layers+1), byPlace: make([]int, gridW*gridH),
		ofClass: make([]int, len(classes)), sumClass: make([]int, len(classes)),
	}, nil
}

// Add counts one image: depth is [gridH, gridW] as in Sample; class is the index of its true class, or −1.
func (t *Tally) Add(class int, depth []int) error {
	if len(depth) != len(t.byPlace) {
		return fmt.Errorf("report: tally: %d depths, want %d for a grid of %d×%d", len(depth), len(t.byPlace), t.gridH,
			t.gridW)
	}
	if class < -1 || class >= len(t.classes) && class >= 0 && len(t.classes) > 0 {
		return fmt.Errorf("report: tally: class %d of %d", class, len(t.classes))
	}
	if k := impossible(depth, t.layers); k >= 0 {
		return fmt.Errorf("report: tally: token %d ran in %d of %d blocks", k, depth[k], t.layers)
	}
	sum := 0
	for k, d := range depth {
		t.byDepth[d]++
		t.byPlace[k] += d
		sum += d
	}
	t.images++
	if class >= 0 && class < len(t.classes) {
		t.ofClass[class]++
		t.sumClass[class] += sum
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

// classMean is the mean depth of the patch tokens in one class's images.
type classMean struct {
	name   string
	mean   float64
	images int
}

// classMeans returns the mean depth in each class that has images.
func (t *Tally) classMeans() []classMean {
	var out []classMean
	for c, n := range t.ofClass {
		if n > 0 && len(t.byPlace) > 0 {
			out = append(out, classMean{t.classes[c], float64(t.sumClass[c]) / float64(n*len(t.byPlace)), n})
		}
	}
	return out
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
	if len(t.byPlace) > 0 {
		out = append(out, placeMap(t.places(), t.gridW, t.gridH, t.layers))
	}
	if c := t.classMeans(); len(c) > 1 {
		out = append(out, classBars(c, t.layers))
	}
	return out
}
