package trainer

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/adavit/adavit/data"
)

// HeldOutSeed decides which images are held out. It is not the run's own, so that runs that differ in their seeds are
// measured on the same images.
const HeldOutSeed = 0

// PartsOf opens the parts of a data set, which spec names in errors, for a run of the recipe in dir. A run that is
// resumed, and was begun when nothing was held out of training images with a test part beside them, goes on with all
// of them and has no validation images.
func PartsOf(spec string, s data.Source, r Recipe, dir string, resume bool, log *slog.Logger) (data.Parts, error) {
	p, err := data.PartsOf(spec, s, r.Validation, HeldOutSeed)
	if err == nil && r.Validation > 0 && p.Share == 0 {
		log.Info("the data set has a validation part of its own, so none is held out", "data", spec)
	}
	if err != nil || !resume || r.Validation > 0 {
		return p, err
	}
	if before, ok := begun(dir); ok && before.Validation == 0 && p.Share > 0 {
		log.Warn("the run was begun without validation images and goes on without", "folder", dir)
		p.Train, err = data.OpenPart(spec, s, data.Train)
		p.Validation, p.Share = nil, 0
	}
	return p, err
}

// Prepare makes of a data set's parts what a run of the recipe sees of them: with the recipe's limit images that stand
// for all, and damaged ones, of which log is told, replaced where they are learnt from and left out where they are
// measured.
func (r Recipe) Prepare(p data.Parts, log *slog.Logger) (data.Parts, error) {
	if p.Train == nil || p.Train.Len() == 0 {
		return p, errors.New("the data has no images")
	}
	for _, part := range []struct {
		d       *data.Dataset
		message string
	}{
		{&p.Train, "training picture left out, another takes its place"},
		{&p.Validation, "validation picture left out"}, {&p.Test, "test picture left out"},
	} {
		if *part.d == nil {
			continue
		}
		some, err := limited(*part.d, r.Limit)
		if err != nil {
			return p, fmt.Errorf("limit: %w", err)
		}
		*part.d = data.Tolerant(some, r.Damaged, func(i int, err error) {
			log.Warn(part.message, "index", i, "error", err)
		})
	}
	return p, nil
}

// limited makes the first limit images of d fit to stand for all of it: where they lack a class, as in a folder that
// is listed class by class, it is as many drawn at random. 0 is no limit.
func limited(d data.Dataset, limit int) (data.Dataset, error) {
	if limit <= 0 || limit >= d.Len() {
		return d, nil
	}
	first, all := map[int]bool{}, map[int]bool{}
	for i := range d.Len() {
		all[d.Label(i)] = true
		if i < limit {
			first[d.Label(i)] = true
		}
	}
	if len(first) == len(all) {
		return d, nil
	}
	return data.Subset(d, data.Order(HeldOutSeed, 0, d.Len())[:limit])
}
