package trainer

import (
	"errors"
	"iter"
	"slices"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/slicing"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// What a model is cut by: so many training pictures, as they are, in batches that need little memory.
const (
	sliceImages = 96
	sliceBatch  = 8
)

// slice cuts the parameters to the recipe's size. A run that goes on takes them from its checkpoint.
func (o *Options) slice(p *vit.Params, prep picture.Preprocessor) (*vit.Params, error) {
	size := *o.Recipe.Slice
	if o.Init == nil {
		return nil, errors.New("slice: there is no model to cut: name one (init, --init)")
	}
	c, err := size.Of(p.Config)
	if err != nil {
		return nil, err
	}
	if saved, err := savedSteps(o.Dir); err != nil || o.Resume && len(saved) > 0 {
		return vit.NewParams(c), err
	}
	batches, err := o.plainBatches(p.Config, prep)
	if err != nil {
		return nil, err
	}
	o.Log.Info("cutting the model that training starts from", "embed", c.Embed, "heads", c.Heads, "hidden", c.Hidden,
		"patch", c.Patch)
	return slicing.Slice(p, size, batches)
}

// plainBatches are some of the training images, chosen at random, as they are at inference.
func (o *Options) plainBatches(c vit.Config, prep picture.Preprocessor) (iter.Seq[train.Batch], error) {
	plain, err := data.NewAugmenter(data.Augment{}, o.Data.Train, prep, c.Channels, c.Height, c.Width)
	if err != nil {
		return nil, err
	}
	order := data.Order(HeldOutSeed, 0, o.Data.Train.Len())
	order = order[:min(sliceImages, len(order))]
	return func(yield func(train.Batch) bool) {
		for some := range slices.Chunk(order, sliceBatch) {
			b := train.Batch{Size: len(some)}
			for _, i := range some {
				b.Labels = append(b.Labels, int32(o.Data.Train.Label(i)))
			}
			b.Load = func(i int, dst []float32) error {
				_, err := plain.Load(dst, some[i], data.Rand(HeldOutSeed, 0, uint64(i)))
				return err
			}
			if !yield(b) {
				return
			}
		}
	}, nil
}
