package adavit

import (
	"context"
	"fmt"
	"slices"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// teacher is a model that another one learns from: it looks at the student's own augmented images.
type teacher struct {
	engine *infer.Engine
	config vit.Config
	class  []int // of the teacher, for each class of the student
	slice  int   // images that are run at a time

	mean, std, ownMean, ownStd []float32 // [C] the student's normalisation, and the teacher's
	images                     []float32 // as the teacher normalises them; not used where both do alike
	out                        infer.Output
}

// newTeacher opens the model that a recipe names, for a student of configuration c with preprocessor p that learns the given classes. The two must take
// images of one size; classes are matched as Evaluate does it. The teacher must be closed.
func newTeacher(ctx context.Context, d train.Distill, c vit.Config, p picture.Preprocessor, classes []string, threads int) (*teacher, error) {
	m, err := OpenContext(ctx, d.Model, nil)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	own := m.Params.Config
	if own.Channels != c.Channels || own.Height != c.Height || own.Width != c.Width {
		return nil, fmt.Errorf("teacher %s takes images of %d×%d pixels and %d channels, the student of %d×%d and %d; 'adavit convert --image-size' changes a model's size",
			d.Model, own.Width, own.Height, own.Channels, c.Width, c.Height, c.Channels)
	}
	if err := m.Preprocessor.Check(own.Channels, own.Height, own.Width); err != nil {
		return nil, fmt.Errorf("teacher %s: %w", d.Model, named(vit.PreprocessorFile, err))
	}
	t := &teacher{config: own, slice: quickly(own, threads)}
	if t.class, err = matchClasses(own, classes); err != nil {
		return nil, fmt.Errorf("teacher %s: %w", d.Model, err)
	}
	t.mean, t.std = p.MeanStd(c.Channels)
	t.ownMean, t.ownStd = m.Preprocessor.MeanStd(c.Channels)
	if t.engine, err = newEngine(m.Params, infer.F32, infer.Options{Threads: threads}); err != nil {
		return nil, fmt.Errorf("teacher %s: %w", d.Model, err)
	}
	return t, nil
}

// logits writes what the teacher says of images [B, C, H, W], normalised for the student, to dst [B, student's classes]. It ends soon after ctx does.
func (t *teacher) logits(ctx context.Context, images, dst []float32) error {
	n, own, size := len(t.class), t.config.Classes, imageSize(t.config)
	images = t.renormalise(images)
	for len(images) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		some := min(t.slice*size, len(images))
		if err := t.engine.Run(ctx, infer.Batch{Images: images[:some]}, &t.out); err != nil {
			return err
		}
		for i := range some / size {
			for j, k := range t.class {
				dst[i*n+j] = t.out.Logits[i*own+k]
			}
		}
		images, dst = images[some:], dst[some/size*n:]
	}
	return nil
}

// renormalise gives images the teacher's mean and deviation.
func (t *teacher) renormalise(images []float32) []float32 {
	if slices.Equal(t.mean, t.ownMean) && slices.Equal(t.std, t.ownStd) {
		return images
	}
	if len(t.images) != len(images) {
		t.images = make([]float32, len(images))
	}
	plane := t.config.Height * t.config.Width
	for at := 0; at < len(images); at += plane {
		c := at / plane % t.config.Channels
		scale := t.std[c] / t.ownStd[c]
		shift := (t.mean[c] - t.ownMean[c]) / t.ownStd[c]
		for i, v := range images[at : at+plane] {
			t.images[at+i] = v*scale + shift
		}
	}
	return t.images
}

func (t *teacher) close() {
	if t != nil {
		t.engine.Close()
	}
}
