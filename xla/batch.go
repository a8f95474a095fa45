package xla

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/train"
)

// batch is what goes to the devices of a batch.
type batch struct {
	images, target, drops []float32
	random                *rand.Rand
	source                rand.PCG
}

// load loads a batch and cuts it for the devices.
func (b *Stepper) load(images train.Batch, loss train.Loss) ([]value, error) {
	c, d, size := b.params.Config, b.devices, images.Size
	if images.Stop != nil {
		if err := images.Stop(); err != nil {
			return nil, err
		}
	}
	room := func(to *[]float32, n int) []float32 {
		*to = slices.Grow((*to)[:0], n)[:n]
		return *to
	}
	pixels, target := room(&b.batch.images, size*c.ImageLen()), room(&b.batch.target, size*c.Classes)
	wide := make([][]float64, max(b.options.Threads, 1))
	for t := range wide {
		wide[t] = make([]float64, c.Classes)
	}
	errs := make([]error, size)
	parallel.For(len(wide), size, func(t, i int) {
		errs[i] = images.Load(i, pixels[i*c.ImageLen():(i+1)*c.ImageLen()])
		images.Target(wide[t], i, loss.LabelSmoothing)
		for j, v := range wide[t] {
			target[i*c.Classes+j] = float32(v)
		}
	})
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("xla: image %d of the batch: %w", i, err)
		}
	}
	in := []value{cut(d, pixels, size, c.Channels, c.Height, c.Width), cut(d, images.Labels, size),
		cut(d, target, size, c.Classes)}
	if loss.DropPath > 0 {
		drops := room(&b.batch.drops, size*c.Layers*2)
		for i := range size {
			for l := range c.Layers {
				at := (i*c.Layers + l) * 2
				drops[at], drops[at+1] = train.DropPath(b.batch.random, &b.batch.source, images.Seed, l, c.Layers, i,
					loss.DropPath)
			}
		}
		in = append(in, cut(d, drops, size, c.Layers, 2))
	}
	if images.Teacher != nil {
		in = append(in, cut(d, images.Teacher, size, c.Classes))
	}
	if images.TeacherTokens != nil {
		in = append(in, cut(d, images.TeacherTokens, size, c.Readouts().Inputs(), c.Embed))
	}
	return in, nil
}
