package eval

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
)

// Control says what a scheme's choice of tokens is worth. Depths may differ because images do, so that an easy image is
// cheap, or because the tokens of an image do; and if the choice among these knows something, a random one in its place
// must cost accuracy.
type Control struct {
	// Images is the standard deviation of the images' mean depths, in blocks; Tokens that of patch tokens' depths about
	// their image's mean, the root of the mean square.
	Images float64 `json:"depth_deviation_images"`
	Tokens float64 `json:"depth_deviation_tokens"`
	// Random is top-1 where each image's patch tokens have its depths in random order; nil where all are equal, or merge.
	Random *float64 `json:"top1_by_lot,omitempty"`
}

// MeasureControl runs the images as Run does, and those whose patch tokens differ in depth once more with their depths
// in random order: as many halt in each block, but not the same ones.
func MeasureControl(ctx context.Context, m *vit.Model, d data.Dataset, o Options) (Control, error) {
	e, err := newEvaluator(m, d, o)
	if err != nil {
		return Control{}, err
	}
	defer e.engine.Close()
	c := e.config
	schemes, err := infer.Schemes(m)
	if err != nil {
		return Control{}, err
	}
	at, _, err := o.Budget.Limits(m)
	if err != nil {
		return Control{}, err
	}
	scheme := schemes[at]
	merges := false
	for l := range c.Layers {
		merges = merges || scheme.Needs(l+1, c.Layers).Merges
	}
	shuffles := make([]shuffle, e.options.Threads)
	for t := range shuffles {
		s := &shuffles[t]
		if s.depth = make([]int32, c.Tokens()); merges {
			continue
		}
		planned := infer.Options{Schemes: []halting.Scheme{halting.Planned(scheme, s.depth)}}
		if s.engine, err = infer.New(e.weights, planned); err != nil {
			return Control{}, err
		}
		defer s.engine.Close()
	}
	e.seen = func(first int) error {
		return e.spread(e.done-first, func(t, i int) error {
			if data.Replaced(e.data, first+i) {
				return nil
			}
			return shuffles[t].run(e, i, uint64(first+i))
		})
	}
	if err := runAll(ctx, e); err != nil {
		return Control{}, err
	}
	var sum shuffle
	for _, s := range shuffles {
		sum.means, sum.squares = sum.means+s.means, sum.squares+s.squares
		sum.within, sum.right = sum.within+s.within, sum.right+s.right
	}
	n := float64(e.counted)
	mean := sum.means / n
	result := Control{Images: math.Sqrt(max(sum.squares/n-mean*mean, 0)), Tokens: math.Sqrt(sum.within / n)}
	if top1 := 100 * float64(sum.right) / n; sum.within > 0 && !merges {
		result.Random = &top1
	}
	return result, nil
}

// shuffle runs images with their patches' depths in random order, one at a time, and adds up.
type shuffle struct {
	engine *infer.Engine // nil where tokens merge
	depth  []int32       // [N] of the image that the engine runs
	out    infer.Output

	// Sums over images: mean depth of the patch tokens, its square, and the mean square of the distances from it.
	means, squares, within float64
	right                  int // images whose largest logit is their label
}

// run takes image i of the evaluator's slice. The same seed gives the same order.
func (s *shuffle) run(e *evaluator, i int, seed uint64) error {
	c, size := e.config, e.config.ImageLen()
	logits := e.out.Logits[i*c.Classes : (i+1)*c.Classes]
	copy(s.depth, e.out.Depth[i*c.Tokens():])
	patches := s.depth[c.Special():]
	mean, square := momentsOf(patches)
	s.means, s.squares, s.within = s.means+mean, s.squares+mean*mean, s.within+square
	if square > 0 && s.engine != nil {
		rand.New(rand.NewPCG(0, seed)).Shuffle(len(patches), func(a, b int) {
			patches[a], patches[b] = patches[b], patches[a]
		})
		plan(&c, s.depth)
		if err := s.engine.Run(context.Background(), infer.Batch{Images: e.images[i*size : (i+1)*size]}, &s.out); err != nil {
			return err
		}
		logits = s.out.Logits
	}
	rank, err := rankOf(logits, e.labels[i])
	if err == nil && rank == 0 {
		s.right++
	}
	return err
}

// plan turns the depths [N] of an image's tokens into the blocks after which they are to halt: patches that the image's
// end took along would have gone on, and do where the image ends later in another order. Where the patches' mean is
// read, it is they that end the image.
func plan(c *vit.Config, depth []int32) {
	if c.Readouts().Pooled > 0 {
		return
	}
	end := halting.End(c.Readouts(), depth)
	for k, d := range depth[c.Special():] {
		if d == end {
			depth[c.Special()+k] = int32(c.Layers)
		}
	}
}

// momentsOf is the mean of depths and the mean square of their distances from it.
func momentsOf(depths []int32) (mean, square float64) {
	sum, n := 0, float64(len(depths))
	for _, d := range depths {
		sum += int(d)
	}
	mean = float64(sum) / n
	for _, d := range depths {
		square += (float64(d) - mean) * (float64(d) - mean) / n
	}
	return mean, square
}
