package adavit

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
)

// Control says what a scheme's choice of tokens is worth. Depths may differ because images do, so that an easy image is cheap, or because the tokens of an
// image do; and if the choice among these knows something, drawing lots in its place must cost accuracy.
type Control struct {
	Images float64  `json:"depth_deviation_images"` // standard deviation of the images' mean depths, in blocks
	Tokens float64  `json:"depth_deviation_tokens"` // and of patch tokens' depths about their image's mean: root of the mean square
	ByLot  *float64 `json:"top1_by_lot,omitempty"`  // top-1 where each image's patch tokens have its depths in random order; nil where all are equal, or merge
}

// control runs the images as Evaluate does, and those whose patch tokens differ in depth once more with their depths in random order: as many halt in
// each block, but not the same ones.
func control(ctx context.Context, m *vit.Model, d data.Dataset, o EvaluateOptions) (Control, error) {
	e, err := newEvaluator(m, d, o)
	if err != nil {
		return Control{}, err
	}
	defer e.close()
	c := e.config
	scheme, err := halting.New(c.Halting)
	if err != nil {
		return Control{}, err
	}
	merges := false
	for l := range c.Layers {
		merges = merges || scheme.Needs(l+1, c.Layers).Merges
	}
	lots := make([]lot, e.options.Threads)
	for t := range lots {
		l := &lots[t]
		l.depth = make([]int32, c.Tokens())
		if merges {
			continue
		}
		if l.engine, err = infer.New(m.Params, infer.Options{Threads: 1, Scheme: halting.Planned(scheme, l.depth), Precision: infer.Precision(e.options.Precision)}); err != nil {
			return Control{}, err
		}
		defer l.engine.Close()
	}
	errs := make([]error, len(lots))
	e.seen = func(first int) error {
		n := e.done - first
		spread(len(lots), len(lots), func(t int) {
			for i := n * t / len(lots); i < n*(t+1)/len(lots) && errs[t] == nil; i++ {
				if !data.Replaced(e.data, first+i) {
					errs[t] = lots[t].run(e, i, uint64(first+i))
				}
			}
		})
		return errors.Join(errs...)
	}
	if err := e.all(ctx); err != nil {
		return Control{}, err
	}
	var sum lot
	for _, l := range lots {
		sum.means, sum.squares, sum.within, sum.right = sum.means+l.means, sum.squares+l.squares, sum.within+l.within, sum.right+l.right
	}
	n := float64(e.counted)
	mean := sum.means / n
	result := Control{Images: math.Sqrt(max(sum.squares/n-mean*mean, 0)), Tokens: math.Sqrt(sum.within / n)}
	if top1 := 100 * float64(sum.right) / n; sum.within > 0 && !merges {
		result.ByLot = &top1
	}
	return result, nil
}

// lot draws lots for one image at a time, and adds up.
type lot struct {
	engine *infer.Engine // nil where tokens merge
	depth  []int32       // [N] of the image that the engine runs
	out    infer.Output

	means, squares, within float64 // sums over images: mean depth of the patch tokens, its square, and the mean square of the distances from it
	right                  int     // images whose largest logit is their label
}

// run takes image i of the evaluator's slice. The same seed gives the same order.
func (l *lot) run(e *evaluator, i int, seed uint64) error {
	c, size, logits := e.config, imageSize(e.config), e.out.Logits[i*e.config.Classes:(i+1)*e.config.Classes]
	copy(l.depth, e.out.Depth[i*c.Tokens():])
	patches := l.depth[c.Special():]
	mean, square := momentsOf(patches)
	l.means, l.squares, l.within = l.means+mean, l.squares+mean*mean, l.within+square
	if square > 0 && l.engine != nil {
		rand.New(rand.NewPCG(0, seed)).Shuffle(len(patches), func(a, b int) { patches[a], patches[b] = patches[b], patches[a] })
		if err := l.engine.Run(e.images[i*size:(i+1)*size], &l.out); err != nil {
			return err
		}
		logits = l.out.Logits
	}
	rank, err := rankOf(logits, e.labels[i])
	if err == nil && rank == 0 {
		l.right++
	}
	return err
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
