package trainer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// TeacherName returns the name of the model that the recipe learns from, "" if there is none. init is the name of the
// one that training starts from.
func (r Recipe) TeacherName(init string) (string, error) {
	switch {
	case r.Distill == nil:
		return "", nil
	case r.Distill.Model != train.TeacherInit:
		return r.Distill.Model, nil
	case init == "":
		return "", usage.Errorf("the recipe's teacher is the model that training starts from, and there is none: name one " +
			"(init, --init), or leave distill out")
	}
	return init, nil
}

// teacher is a model that another one learns from: it looks at the student's own augmented images.
type teacher struct {
	engine *infer.Engine
	config vit.Config
	class  []int // of the teacher, for each class of the student
	match  eval.Matching

	mean, std, ownMean, ownStd []float32 // [C] the student's normalisation, and the teacher's
	images                     []float32 // as the teacher normalises them; not used where both do alike
	out                        infer.Output
}

// newTeacher prepares a model, called name in errors, to teach a student of configuration c with preprocessor p the
// given classes, and its tokens, if they are wanted. The two must take images of one size; classes are matched as eval
// does it. The teacher must be closed.
func newTeacher(m *vit.Model, name string, c vit.Config, p picture.Preprocessor, classes []string, tokens bool,
	unknown eval.Unknown, threads int) (*teacher, error) {
	own := m.Params.Config
	if tokens && (own.Embed != c.Embed || own.Pooling != c.Pooling ||
		own.Distillation != c.Distillation) {
		return nil, fmt.Errorf("teacher %s predicts from other tokens than the student, or from %d numbers of them and it "+
			"from %d: they cannot be compared (distill.tokens)", name, own.Embed, c.Embed)
	}
	if own.Channels != c.Channels || own.Height != c.Height || own.Width != c.Width {
		return nil, fmt.Errorf("teacher %s takes images of %d×%d pixels and %d channels, the student of %d×%d and %d: "+
			"resize one of them", name, own.Width, own.Height, own.Channels, c.Width, c.Height, c.Channels)
	}
	if err := m.Preprocessor.Check(own.Channels, own.Height, own.Width); err != nil {
		return nil, fmt.Errorf("teacher %s: %s: %w", name, vit.PreprocessorFile, err)
	}
	t := &teacher{config: own}
	match, err := eval.MatchClasses(own, eval.Named{Names: classes}, unknown)
	if err == nil && len(match.Unknown) > 0 { // what it should say of them nobody knows
		err = fmt.Errorf("%w: %s", eval.ErrSomeUnknown, strings.Join(match.Unknown, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("teacher %s: %w", name, err)
	}
	t.class, t.match = match.Class, match
	t.mean, t.std = p.MeanStd(c.Channels)
	t.ownMean, t.ownStd = m.Preprocessor.MeanStd(c.Channels)
	w, err := infer.PackOptions{Threads: threads}.Pack(m.Params)
	if err == nil {
		t.engine, err = infer.New(w, infer.Options{Threads: threads, Fields: tokens})
	}
	if err != nil {
		return nil, fmt.Errorf("teacher %s: %w", name, err)
	}
	return t, nil
}

// logits writes what the teacher says of images [B, C, H, W], normalised for the student, to dst [B, student's
// classes], and returns the tokens [B, Q, E] that it says it from, nil if they are not wanted, until the next call. It
// ends soon after ctx does.
func (t *teacher) logits(ctx context.Context, images, dst []float32) (tokens []float32, err error) {
	if err := t.engine.Run(ctx, infer.Batch{Images: t.renormalise(images)}, &t.out); err != nil {
		return nil, err
	}
	for i := range len(dst) / len(t.class) {
		for j, k := range t.class {
			dst[i*len(t.class)+j] = t.out.Logits[i*t.config.Classes+k]
		}
	}
	return t.out.Fields, nil
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
