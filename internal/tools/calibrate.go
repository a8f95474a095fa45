package tools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/hub"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/trainer"
	"github.com/adavit/adavit/vit"
)

// CalibrateOptions say whose ladder is measured on what.
type CalibrateOptions struct {
	eval.CalibrateOptions
	Model string       // a directory, for the ladder goes into it
	Data  string       // a data set as datasets.Find names it
	Part  string       // of the data: partValidation or partTrain; "" for the first, or all where there are no parts
	Log   *slog.Logger // told what a user should know; may be nil

	Unknown  eval.Unknown          // what becomes of pictures of classes that the model does not know
	Contents func([]data.Contents) // told what the data are before the model runs; may be nil

	picture.Decoding
}

// Parts of a data set that a ladder may be measured on.
const (
	partValidation = "validation" // what training holds out
	partTrain      = "train"      // the other training images
	partAll        = "all"        // of a data set that does not tell parts apart
)

// Calibrated is a ladder that Calibrate has stored.
type Calibrated struct {
	Model string `json:"model"`
	vit.Calibration
	Ladder   []vit.Rung    `json:"ladder"`
	Missed   []eval.Missed `json:"missed,omitempty"`
	Stored   string        `json:"stored"`
	Replaced bool          `json:"replaced,omitempty"` // the model had a ladder
}

// Calibrate measures a model's ladder of budgets and stores it beside the weights. If it fails, what was there stays.
func Calibrate(ctx context.Context, o CalibrateOptions) (r Calibrated, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Part == string(data.Test) {
		return r, usage.Errorf("a ladder is chosen by the images that it is measured on, so a model could not be tested " +
			"on the test part any more; want validation or train")
	}
	if o.Part != "" && o.Part != partValidation && o.Part != partTrain {
		return r, usage.Errorf("no part is called %q, want validation or train", o.Part)
	}
	if _, _, ok, _ := hub.ParseReference(o.Model); ok || slices.Contains(adavit.BundledModels(), o.Model) {
		return r, usage.Errorf("%s cannot be written to: 'adavit convert %s DIR' makes a copy that can", o.Model, o.Model)
	}
	m, err := adavit.OpenContext(ctx, o.Model, adavit.OpenOptions{})
	if err != nil {
		return r, err
	}
	if text := infer.Caution(o.Precision, m); text != "" {
		o.Log.Warn(text)
	}
	if !m.Params.Config.Halting.Adaptive() {
		return r, fmt.Errorf("%s is a dense model, which spends the same on every image: train it to halt, or give it a "+
			"scheme that needs no training ('adavit convert' names them)", o.Model)
	}
	if err := atomicfile.Writable(o.Model); err != nil { // better now than after the work
		return r, err
	}
	m.Preprocessor = m.Preprocessor.DecodedBy(o.Decoding)
	d, part, err := o.open(ctx, m)
	if err != nil {
		return r, err
	}
	l, err := eval.Calibrate(ctx, m, d, o.CalibrateOptions)
	if err != nil {
		return r, err
	}
	r = Calibrated{Model: o.Model, Calibration: l.Calibration, Ladder: l.Rungs, Missed: l.Missed,
		Stored: filepath.Join(o.Model, vit.LadderFile), Replaced: m.Ladder != nil}
	r.Data, r.Part = o.Data, part
	for _, miss := range l.Missed {
		o.Log.Warn("budget left out: the scheme cannot reach it", "budget", miss.Budget,
			"nearest", fmt.Sprintf("%.3f", miss.Nearest))
	}
	if text := l.Caution(); text != "" {
		o.Log.Warn(text)
	}
	if l.Rungs[0].Top1 == nil {
		o.Log.Warn("the data's classes are not the model's: its own word as it stands is held to be right")
	}
	if n := len(m.Ladder); n > 0 {
		o.Log.Info("the ladder that was there is replaced", "rungs", n, "least", m.Ladder[0].Mean, "most", m.Ladder[n-1].Mean,
			"images", m.Calibration.Images)
	}
	m.Ladder, m.Calibration = r.Ladder, r.Calibration
	return r, vit.SaveLadder(o.Model, m)
}

// samePlace reports whether two names of data are the same, one of them perhaps a path from the root.
func samePlace(a, b string) bool {
	whole := func(path string) string {
		if abs, err := filepath.Abs(path); err == nil {
			return abs
		}
		return filepath.Clean(path)
	}
	return whole(a) == whole(b)
}

// open opens the images to measure on, and says which part of the data they are. For a model that was trained on these
// data they are held out as its training did it.
func (o CalibrateOptions) open(ctx context.Context, m *vit.Model) (d data.Dataset, part string, err error) {
	source, err := datasets.Find(o.Data, o.Log)
	if err != nil {
		return nil, "", err
	}
	if !source.Has(data.Train) {
		return nil, "", usage.Errorf("data set %q has test images alone, which a ladder must not be chosen by", o.Data)
	}
	share := 0.0
	if card, err := trainer.ReadCard(o.Model); err == nil && samePlace(card.Data, o.Data) {
		share = card.Recipe.Validation
	}
	if part = cmp.Or(o.Part, partValidation); share == 0 && !source.Has(data.Test) &&
		!source.Has(data.Validation) {
		if o.Part == partValidation {
			return nil, "", usage.Errorf("data set %q has no parts, and nothing says that any of it was held out of training",
				o.Data)
		}
		part = partAll
		o.Log.Warn("no parts: all pictures are used, those too that the model may have learnt from", "data", o.Data)
		d, err = source.Open(data.Train)
	} else {
		var p data.Parts
		if p, err = data.PartsOf(o.Data, source, share, trainer.HeldOutSeed); err == nil {
			if d = p.Validation; part == partTrain {
				d = p.Train
			}
			if d == nil {
				err = usage.Errorf("data set %q has no picture to hold out: want the part train", o.Data)
			}
		}
	}
	if err != nil {
		return nil, "", err
	}
	// Where no name matches, the model's own word is right.
	matched, err := eval.Match(m.Params.Config, d, o.Unknown, o.Log)
	if err == nil {
		d = matched
	} else if !errors.Is(err, eval.ErrNoneKnown) {
		tell(o.Contents, part, d, source)
		return nil, "", err
	}
	t := leftOut(d, trainer.DefaultRecipe().Damaged, o.Log)
	err = t.Check(ctx, m.Preprocessor.Decoding())
	tell(o.Contents, part, t, source)
	return t, part, err
}

// Table is the ladder for people.
func (r Calibrated) Table() report.Table {
	t := report.NewTable(0, "budget", "token-blocks", "95 % below", "MACs/image")
	labelled := r.Ladder[0].Top1 != nil
	if labelled {
		t.Columns = append(t.Columns, report.Column{Head: "top-1 %"})
	}
	t.Columns = append(t.Columns, report.Column{Head: "agreement %"}, report.Column{Head: "NLL"},
		report.Column{Head: "ms/image"}, report.Column{Head: "constants", Left: true})
	for _, g := range r.Ladder {
		row := []string{fmt.Sprintf("%.3f", g.Mean), fmt.Sprintf("%.1f", g.TokenBlocks), fmt.Sprint(g.Percentile95),
			fmt.Sprintf("%.4g M", g.MACs/1e6)}
		if labelled {
			row = append(row, fmt.Sprintf("%.2f", *g.Top1))
		}
		var constants []string
		for key, v := range g.Constants {
			constants = append(constants, fmt.Sprintf("%s %.5g", key, v))
		}
		slices.Sort(constants)
		t.Add(append(row, fmt.Sprintf("%.2f", g.Agreement), fmt.Sprintf("%.3f", g.NLL),
			fmt.Sprintf("%.3g", g.Milliseconds), strings.Join(constants, ", "))...)
	}
	return t
}
