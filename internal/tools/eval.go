package tools

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// EvalOptions say what a model is measured on, and how.
type EvalOptions struct {
	eval.Options
	Data     string // a data set as datasets.Find names it
	Unknown  eval.Unknown
	Control  bool                  // measure what the choice of tokens is worth, too
	Damaged  float64               // share of the pictures that may be damaged: they are left out
	Contents func([]data.Contents) // told what the data are before the model runs; may be nil
	Log      *slog.Logger          // told what a user should know; may be nil
}

// Eval measures a model on the test part of a data set: its validation part where it has no other, or all of it where
// nothing tells parts apart.
func Eval(ctx context.Context, m *vit.Model, o EvalOptions) (r eval.Result, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if !(o.Damaged >= 0 && o.Damaged <= 1) {
		return r, usage.Errorf("%v of the pictures may be damaged, want a share from 0 to 1", o.Damaged)
	}
	source, err := datasets.Find(o.Data, o.Log)
	if err != nil {
		return r, err
	}
	d, err := datasets.OpenFound(o.Data, source, data.Test, o.Log)
	if err != nil {
		return r, err
	}
	part := partAll
	for _, split := range []data.Split{data.Validation, data.Test} {
		if source.Has(split) {
			part = string(split)
		}
	}
	matched, err := eval.Match(m.Params.Config, d, o.Unknown, o.Log)
	if err != nil {
		tell(o.Contents, part, d, source)
		return r, err
	}
	t := leftOut(matched, o.Damaged, o.Log)
	err = t.Check(ctx, m.Preprocessor.Decoding())
	tell(o.Contents, part, t, source)
	if err != nil {
		return r, err
	}
	d = t
	if byClass(d) && o.Limit > 0 && o.Limit < d.Len() { // the first ones would be the first class's
		if d, err = data.Subset(d, spaced(o.Limit, d.Len())); err != nil {
			return r, err
		}
	}
	if r, err = eval.Run(ctx, m, d, o.Options); err != nil || !o.Control {
		return r, err
	}
	control, err := eval.MeasureControl(ctx, m, d, o.Options)
	r.Control = &control
	return r, err
}

// byClass reports whether all pictures of a class come before those of the next.
func byClass(d data.Dataset) bool {
	for i := 1; i < d.Len(); i++ {
		if d.Label(i) < d.Label(i-1) {
			return false
		}
	}
	return true
}

// spaced returns n of the numbers below all, evenly spaced.
func spaced(n, all int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i * all / n
	}
	return list
}

// tell says what a part of a data set is made of, and what the data set has besides, if contents is not nil.
func tell(contents func([]data.Contents), part string, d data.Dataset, source data.Source) {
	if contents != nil {
		contents(append([]data.Contents{data.ContentsOf(part, d)}, data.Rest(source)...))
	}
}

// leftOut leaves out damaged pictures of d, up to a share of all, and tells log.
func leftOut(d data.Dataset, share float64, log *slog.Logger) *data.Tolerated {
	return data.Tolerant(d, share, func(_ int, err error) {
		log.Warn("picture left out", "error", err)
	})
}

// ContentsTable shows what data sets are made of.
func ContentsTable(list []data.Contents) report.Table {
	t := report.NewTable(2, "split", "folder", "classes", "pictures", "damaged", "too large", "skipped")
	t.Columns[len(t.Columns)-1].Left = true
	for _, c := range list {
		damaged, tooLarge := fmt.Sprint(c.Damaged), fmt.Sprint(c.TooLarge)
		if !c.Checked { // found out as they are read
			damaged, tooLarge = "?", "?"
		}
		t.Add(c.Part, c.Folder, fmt.Sprint(c.Classes), fmt.Sprint(c.Pictures), damaged, tooLarge, c.SkippedText())
	}
	return t
}
