package trainer

import (
	"cmp"
	"context"
	"fmt"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/train"
)

// feed brings the batches of a run: pictures augmented and mixed, targets, and what a teacher says of them. All of it
// depends on (seed, epoch, place in the epoch) alone, so a run that was resumed sees what it would have seen.
type feed struct {
	run     *runner
	loader  *data.Loader
	size    int       // images a batch
	targets []float32 // [size, classes]
	logits  []float32 // [size, classes] of the teacher
}

// aheadBatches are loaded while the network is busy.
const aheadBatches = 2

// newFeed starts to load from where the run stands.
func (r *runner) newFeed() (*feed, error) {
	c := r.start
	augmenter, err := data.NewAugmenter(r.Recipe.Augment, r.Data.Train, r.preprocessor, c.Channels, c.Height, c.Width)
	if err != nil {
		return nil, err
	}
	size := r.batch / r.parts
	f := &feed{run: r, size: size, targets: make([]float32, size*c.Classes), logits: make([]float32, size*c.Classes)}
	seed, repeats := r.Recipe.Seed, r.Recipe.Repeats
	order := data.NewSequence(seed, r.images(), repeats)
	f.loader = data.NewLoader(data.LoaderOptions{Items: r.perEpoch * r.batch, Batch: size, Epochs: r.Recipe.Epochs,
		Workers: cmp.Or(r.Workers, r.Threads), Ahead: aheadBatches, Floats: c.ImageLen(),
		Load: func(_ context.Context, dst []float32, epoch, position int) (int, error) {
			i := order.At(epoch, position)
			key := i
			if repeats > 1 { // a picture is there more than once
				key = position
			}
			return augmenter.Load(dst, i, data.Rand(seed, uint64(epoch), uint64(key)))
		},
	}, r.step/r.perEpoch, r.step%r.perEpoch*r.parts)
	return f, nil
}

// mixIndex is the index whose random streams mix the batches of an epoch, downward from here; no picture has one as
// large.
const mixIndex = ^uint64(0) - 1

// next returns batch number part of an epoch, each number in its turn. It is valid until the following call. The pass
// that it is used in ends with ctx's error soon after ctx has ended.
func (f *feed) next(ctx context.Context, epoch, part int) (train.Batch, error) {
	images, labels, err := f.loader.Next(ctx)
	if err != nil {
		return train.Batch{}, err
	}
	c, r := f.run.start, f.run.Recipe
	b := train.Batch{Size: f.size, Labels: labels, Stop: ctx.Err}
	if r.Mix.Enabled(epoch) {
		rng := data.Rand(r.Seed, uint64(epoch), mixIndex-uint64(part))
		r.Mix.Apply(images, labels, f.targets, c.Classes, r.LabelSmoothing, c.Channels, c.Height, c.Width, rng)
		b.Targets = f.targets
	}
	if f.run.teacher != nil {
		if b.TeacherTokens, err = f.run.teacher.logits(ctx, images, f.logits); err != nil {
			return train.Batch{}, fmt.Errorf("the teacher: %w", err)
		}
		b.Teacher = f.logits
	}
	floats := c.ImageLen()
	b.Load = func(i int, dst []float32) error {
		copy(dst, images[i*floats:(i+1)*floats])
		return nil
	}
	return b, nil
}

// close ends the loading.
func (f *feed) close() {
	if f != nil {
		f.loader.Close()
	}
}
