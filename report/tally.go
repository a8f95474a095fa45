package report

import (
	"fmt"
	"math"
)

// Tally adds up the depths of the images that one model saw. Its methods are not
// safe to call at the same time.
type Tally struct {
	layers       int
	gridW, gridH int
	classes      []string

	images   int
	byDepth  []int // [layers+1]: patch tokens that ran in so many blocks
	byPlace  []int // [gridH, gridW]: sum of depths
	tokens   int   // all tokens, class tokens among them
	depths   int   // the sum of their depths
	ofClass  []int // images of each class
	sumClass []int // sum of their patch tokens' depths
}

// NewTally returns an empty tally for a model of so many blocks over a grid of
// gridH×gridW patch tokens. classes names the classes; it may be nil.
func NewTally(layers, gridW, gridH int, classes []string) (*Tally, error) {
	if layers < 1 || layers > maxLayers || gridW < 0 || gridH < 0 || gridW > maxSide || gridH > maxSide {
		return nil, fmt.Errorf("report: tally of %d blocks over %d×%d patches", layers, gridH, gridW)
	}
	return &Tally{
		layers: layers, gridW: gridW, gridH: gridH, classes: append([]string(nil), classes...),
		byDepth: make([]int, layers+1), byPlace: make([]int, gridW*gridH),
		ofClass: make([]int, len(classes)), sumClass: make([]int, len(classes)),
	}, nil
}

// Add counts one image: depth is [gridH, gridW] as in Sample; classDepth is 0 where
// it is not known; class is the index of its true class, or -1.
func (t *Tally) Add(class int, depth []int, classDepth int) error {
	if len(depth) != len(t.byPlace) {
		return fmt.Errorf("report: tally: %d depths, want %d for a grid of %d×%d", len(depth), len(t.byPlace), t.gridH, t.gridW)
	}
	if classDepth < 0 || classDepth > t.layers {
		return fmt.Errorf("report: tally: class token ran in %d of %d blocks", classDepth, t.layers)
	}
	if class < -1 || class >= len(t.classes) && class >= 0 && len(t.classes) > 0 {
		return fmt.Errorf("report: tally: class %d of %d", class, len(t.classes))
	}
	for k, d := range depth {
		if d < 0 || d > t.layers {
			return fmt.Errorf("report: tally: token %d ran in %d of %d blocks", k, d, t.layers)
		}
	}
	sum := 0
	for k, d := range depth {
		t.byDepth[d]++
		t.byPlace[k] += d
		sum += d
	}
	t.images++
	t.tokens += len(depth)
	t.depths += sum + classDepth
	if classDepth > 0 {
		t.tokens++
	}
	if class >= 0 && class < len(t.classes) {
		t.ofClass[class]++
		t.sumClass[class] += sum
	}
	return nil
}

// Images is the number of images added.
func (t *Tally) Images() int { return t.images }

// Histogram returns [layers] counts: entry d-1 is the number of patch tokens that
// ran in d blocks. Tokens that ran in none are not in it.
func (t *Tally) Histogram() []int { return append([]int(nil), t.byDepth[1:]...) }

// Active returns [layers] shares: entry l-1 is the share of all patch tokens that
// ran in block l. NaN where nothing was added.
func (t *Tally) Active() []float64 {
	total := 0
	for _, n := range t.byDepth {
		total += n
	}
	out := make([]float64, t.layers)
	alive := 0
	for l := t.layers; l >= 1; l-- {
		alive += t.byDepth[l]
		out[l-1] = float64(alive) / float64(total)
	}
	return out
}

// MeanDepth is the mean number of blocks over all tokens, class tokens of known
// depth among them; NaN where nothing was added.
func (t *Tally) MeanDepth() float64 { return float64(t.depths) / float64(t.tokens) }

// Places returns [gridH, gridW] means: the depth of the patch at each place; NaN
// where nothing was added.
func (t *Tally) Places() []float64 {
	out := make([]float64, len(t.byPlace))
	for k, sum := range t.byPlace {
		out[k] = float64(sum) / float64(t.images)
	}
	return out
}

// ClassMean is the mean depth of the patch tokens in one class's images.
type ClassMean struct {
	Name   string
	Mean   float64
	Images int
}

// Classes returns the mean depth in each class that has images.
func (t *Tally) Classes() []ClassMean {
	var out []ClassMean
	for c, n := range t.ofClass {
		mean := float64(t.sumClass[c]) / float64(n*len(t.byPlace))
		if n > 0 && !math.IsNaN(mean) {
			out = append(out, ClassMean{t.classes[c], mean, n})
		}
	}
	return out
}

// charts returns what a page shows of t besides histogram and shares.
func (t *Tally) charts() []chartView {
	var out []chartView
	if t.images == 0 || len(t.byPlace) == 0 {
		return nil
	}
	out = append(out, placeMap(t.Places(), t.gridW, t.gridH, t.layers))
	if c := t.Classes(); len(c) > 1 {
		out = append(out, classBars(c, t.layers))
	}
	return out
}
