package adavit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/internal/machine"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// trainingPage draws a finished run's log.
func trainingPage(o TrainOptions, threads int, log []train.Entry) report.Page {
	page := report.Page{Title: filepath.Base(o.Dir), Subtitle: o.Recipe.Description, Machine: machine.Describe(threads), Date: time.Now(), Settings: settings(o)}
	if len(log) == 0 {
		return page
	}
	epochs := make([]float64, len(log))
	for i, e := range log {
		epochs[i] = float64(e.Epoch)
	}
	curve := func(name string, of func(train.Entry) float64) report.Series {
		s := report.Series{Name: name, X: epochs, Y: make([]float64, len(log))}
		for i, e := range log {
			s.Y[i] = of(e)
		}
		return s
	}
	test := func(name string) func(train.Entry) float64 {
		return of(func(e train.Entry) map[string]float64 { return e.Test }, name)
	}
	average := func(name string) func(train.Entry) float64 {
		return of(func(e train.Entry) map[string]float64 { return e.TestEMA }, name)
	}
	chart := func(title, y string, series ...report.Series) {
		series = slices.DeleteFunc(series, func(s report.Series) bool {
			return !slices.ContainsFunc(s.Y, func(v float64) bool { return !math.IsNaN(v) })
		})
		page.Charts = append(page.Charts, report.Chart{Title: title, XLabel: "epoch", YLabel: y, Series: series, Markers: len(log) == 1})
	}
	chart("Top-1", "percent", curve("training images, augmented", func(e train.Entry) float64 { return e.TrainTop1 }),
		curve("test images", test("top1")), curve("test images, averaged weights", average("top1")))
	chart("Loss", "", curve("loss", func(e train.Entry) float64 { return e.Loss }), curve("cross-entropy", func(e train.Entry) float64 { return e.CrossEntropy }),
		curve("distillation", known(func(e train.Entry) float64 { return e.Distill })))
	if o.adaptive(log) {
		chart("Ponder cost", "blocks", curve("depth and remainder", func(e train.Entry) float64 { return e.Ponder }))
		chart("Prior", "divergence", curve("from the target depth", known(func(e train.Entry) float64 { return e.Prior })))
	}
	chart("Mean depth", "blocks", curve("training images", func(e train.Entry) float64 { return e.MeanDepth }),
		curve("test images", test("mean_depth")), curve("test images, averaged weights", average("mean_depth")))
	chart("Learning rate", "", curve("at the epoch's end", func(e train.Entry) float64 { return e.LR }))
	chart("Gradient norm", "", curve("mean of the epoch", func(e train.Entry) float64 { return e.GradNorm }))
	chart("Speed", "images/s", curve("training", func(e train.Entry) float64 { return e.ImagesPerSecond }))
	page.Charts = slices.DeleteFunc(page.Charts, func(c report.Chart) bool { return len(c.Series) == 0 })
	if o.adaptive(log) {
		page.Scores = scores(log)
	}
	page.Facts = facts(log)
	return page
}

// adaptive reports whether the log is one of a model whose tokens halt.
func (o TrainOptions) adaptive(log []train.Entry) bool {
	return slices.ContainsFunc(log, func(e train.Entry) bool {
		return slices.ContainsFunc(e.LayerScores, func(s float64) bool { return s > 0 })
	})
}

// known makes a figure that is zero wherever nothing was measured one that is not there.
func known(figure func(train.Entry) float64) func(train.Entry) float64 {
	return func(e train.Entry) float64 {
		if v := figure(e); v != 0 {
			return v
		}
		return math.NaN()
	}
}

// scores maps each epoch's mean halting score in each block.
func scores(log []train.Entry) *report.Heat {
	h := &report.Heat{Title: "Mean halting score", XLabel: "epoch", YLabel: "by block"}
	for _, e := range log {
		if len(e.LayerScores) > 0 { // an epoch that a resumed run only measured has none
			h.X, h.Values = append(h.X, float64(e.Epoch)), append(h.Values, e.LayerScores)
		}
	}
	return h
}

// What a training's report shows of its test images: depths are counted on so many of them, and so many are drawn.
const (
	shownImages = 256
	shownCards  = 12
)

// showTokens adds to a report what the finished model does with the tokens of some test images, spread over all of them.
func (o TrainOptions) showTokens(ctx context.Context, page *report.Page, test data.Dataset, threads int) error {
	m, err := vit.Load(o.Dir)
	if err != nil {
		return err
	}
	if !m.Params.Config.Halting.Adaptive() {
		return nil
	}
	n := test.Len()
	if o.Recipe.Limit > 0 {
		n = min(n, o.Recipe.Limit)
	}
	some, err := data.Subset(test, data.Order(0, 0, n)[:min(n, shownImages)])
	if err != nil {
		return err
	}
	c, err := eval.Collect(ctx, m, some, threads)
	if err != nil {
		return err
	}
	page.Tally = c.Tally
	for round := range eval.PerClass { // one of each class before the second of any
		for _, of := range c.Picked {
			if round < len(of) && len(page.Samples) < shownCards {
				page.Samples = append(page.Samples, of[round])
			}
		}
	}
	d, err := m.Params.Config.Halting.Descriptor()
	if d.Note != "" {
		page.Notes = append(page.Notes, d.Note)
	}
	return err
}

// of reads a figure of the test images; NaN where it is not there.
func of(part func(train.Entry) map[string]float64, name string) func(train.Entry) float64 {
	return func(e train.Entry) float64 {
		if v, ok := part(e)[name]; ok {
			return v
		}
		return math.NaN()
	}
}

// facts are the figures of the weights that were kept.
func facts(log []train.Entry) []report.Fact {
	last := log[len(log)-1]
	list := []report.Fact{{Value: fmt.Sprint(last.Epoch), Label: "epochs"}}
	kept := last.Test
	if last.TestEMA != nil {
		kept = last.TestEMA
	}
	if kept != nil {
		list = append(list, report.Fact{Value: fmt.Sprintf("%.2f %%", kept["top1"]), Label: fmt.Sprintf("top-1 on %.0f test images", kept["images"])},
			report.Fact{Value: fmt.Sprintf("%.2f", kept["mean_depth"]), Label: "blocks a token, on average"})
	}
	seconds := 0.0
	for _, e := range log {
		seconds += e.Seconds
	}
	return append(list, report.Fact{Value: fmt.Sprintf("%.0f", last.ImagesPerSecond), Label: "training images a second"},
		report.Fact{Value: time.Duration(seconds * float64(time.Second)).Round(time.Second).String(), Label: "of training"})
}

// settings lists the recipe as it was used, in its own order.
func settings(o TrainOptions) []report.Setting {
	list := []report.Setting{{Name: "data", Value: o.Data}}
	if o.Init != "" {
		list = append(list, report.Setting{Name: "init (asked for)", Value: o.Init})
	}
	text, err := json.Marshal(o.Recipe)
	if err != nil { // a recipe that was validated can be written
		return list
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.Token() // the opening brace
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return list
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return list
		}
		if key != "description" {
			list = append(list, report.Setting{Name: fmt.Sprint(key), Value: string(value)})
		}
	}
	return list
}
