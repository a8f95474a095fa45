package trainer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/machine"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// writeReport draws the finished run's logs, and what its model does with the tokens of some images.
func (r *runner) writeReport(ctx context.Context) (path string, err error) {
	path = filepath.Join(r.Dir, "report.html")
	page := r.page()
	if err := r.showTokens(ctx, &page); err != nil {
		return "", err
	}
	return path, report.WriteHTML(path, page)
}

// page draws the log.
func (r *runner) page() report.Page {
	page := report.Page{Title: filepath.Base(r.Dir), Subtitle: r.Recipe.Description,
		Machine: machine.Describe(r.Threads), Date: time.Now(), Settings: []report.Setting{{Name: "data", Value: r.DataName}}}
	if r.InitName != r.Recipe.Init {
		page.Settings = append(page.Settings, report.Setting{Name: "init (asked for)", Value: r.InitName})
	}
	page.Settings = append(page.Settings, r.Recipe.Rows()...)
	if len(r.epochs) == 0 {
		return page
	}
	curve := func(name string, of func(Entry) float64) (s report.Series) {
		s.Name = name
		for _, e := range r.epochs {
			s.X, s.Y = append(s.X, float64(e.Epoch)), append(s.Y, of(e))
		}
		return s
	}
	measured := func(of func(*Figures) float64) (list []report.Series) { // NaN where nothing was measured
		for i, images := range []string{"validation images", "validation images, averaged weights", "test images",
			"test images, averaged weights"} {
			list = append(list, curve(images, func(e Entry) float64 {
				if f := []*Figures{e.Validation, e.ValidationEMA, e.Test, e.TestEMA}[i]; f != nil {
					return of(f)
				}
				return math.NaN()
			}))
		}
		return list
	}
	chart := func(title, y string, series ...report.Series) {
		series = slices.DeleteFunc(series, func(s report.Series) bool {
			return !slices.ContainsFunc(s.Y, func(v float64) bool { return !math.IsNaN(v) })
		})
		if len(series) > 0 {
			page.Charts = append(page.Charts, report.Chart{Title: title, XLabel: "epoch", YLabel: y, Series: series,
				Markers: len(r.epochs) == 1})
		}
	}
	adaptive := slices.ContainsFunc(r.epochs, func(e Entry) bool {
		return slices.ContainsFunc(e.LayerScores, func(s float64) bool { return s > 0 })
	})
	chart("Top-1", "percent", append([]report.Series{curve("training images, augmented",
		func(e Entry) float64 { return e.TrainTop1 })}, measured(func(f *Figures) float64 { return f.Top1 })...)...)
	chart("Loss", "", curve("loss", func(e Entry) float64 { return e.Loss }),
		curve("cross-entropy", func(e Entry) float64 { return e.CrossEntropy }),
		curve("distillation", func(e Entry) float64 { return known(e.Distill) }))
	if adaptive {
		chart("Ponder cost", "blocks", curve("depth and remainder", func(e Entry) float64 { return e.Ponder }))
		chart("Prior", "divergence", curve("from the target depth", func(e Entry) float64 { return known(e.Prior) }))
		page.Scores = scores(r.epochs)
	}
	chart("Mean depth", "blocks", append([]report.Series{curve("training images",
		func(e Entry) float64 { return e.MeanDepth })}, measured(func(f *Figures) float64 { return f.MeanDepth })...)...)
	chart("Learning rate", "", curve("at the epoch's end", func(e Entry) float64 { return e.LR }))
	chart("Gradient norm", "", curve("mean of the epoch", func(e Entry) float64 { return e.GradNorm }))
	chart("Speed", "images/s", curve("training", func(e Entry) float64 { return e.ImagesPerSecond }))
	page.Facts = r.facts()
	return page
}

// known makes a figure that is zero wherever nothing was measured one that is not there.
func known(v float64) float64 {
	if v == 0 {
		return math.NaN()
	}
	return v
}

// scores maps each epoch's mean halting score in each block.
func scores(log []Entry) *report.Heat {
	h := &report.Heat{Title: "Mean halting score", XLabel: "epoch", YLabel: "by block"}
	for _, e := range log {
		if len(e.LayerScores) > 0 { // an epoch that a resumed run only measured has none
			h.X, h.Values = append(h.X, float64(e.Epoch)), append(h.Values, e.LayerScores)
		}
	}
	return h
}

// What a report shows of its images: depths are counted on so many of them, and so many are drawn.
const (
	shownImages = 256
	shownCards  = 12
)

// shown are the images that a run is shown on: those of the test, or else the first that there are.
func shown(p data.Parts) data.Dataset {
	for _, d := range []data.Dataset{p.Test, p.Validation} {
		if d != nil {
			return d
		}
	}
	return p.Train
}

// showTokens adds to a report what the finished model does with the tokens of some images, spread over all of them.
func (r *runner) showTokens(ctx context.Context, page *report.Page) error {
	m, err := vit.Load(r.Dir)
	if err != nil || !m.Params.Config.Halting.Adaptive() {
		return err
	}
	d := shown(r.Data)
	n := min(d.Len(), cmp.Or(r.Recipe.Limit, d.Len()))
	some, err := data.Subset(d, data.Order(0, 0, n)[:min(n, shownImages)])
	if err != nil {
		return err
	}
	_, c, err := eval.Collect(ctx, some, eval.Options{Threads: r.Threads, Precision: infer.F32}, m)
	if err != nil {
		return err
	}
	page.Tally, page.Contrasts = c.Tally, c.Contrasts
	for round := range eval.PerClass { // one of each class before the second of any
		for _, of := range c.Picked {
			if round < len(of) && len(page.Samples) < shownCards {
				page.Samples = append(page.Samples, of[round])
			}
		}
	}
	about, err := m.Params.Config.Halting.Descriptor()
	if about.Note != "" {
		page.Notes = append(page.Notes, about.Note)
	}
	return err
}

// seconds is how long all epochs trained.
func (r *runner) seconds() (sum float64) {
	for _, e := range r.epochs {
		sum += e.Seconds
	}
	return sum
}

// facts are the figures of the last epoch and of the weights that were kept after it.
func (r *runner) facts() []report.Fact {
	last := r.epochs[len(r.epochs)-1]
	list := []report.Fact{{Value: fmt.Sprint(last.Epoch), Label: "epochs"}}
	if _, kept := r.kept(last); kept != nil {
		list = append(list,
			report.Fact{Value: fmt.Sprintf("%.2f %%", kept.Top1), Label: fmt.Sprintf("top-1 on %d test images", kept.Images)},
			report.Fact{Value: fmt.Sprintf("%.2f", kept.MeanDepth), Label: "blocks a token, on average"})
	}
	took := time.Duration(r.seconds() * float64(time.Second)).Round(time.Second)
	return append(list, report.Fact{Value: fmt.Sprintf("%.0f", last.ImagesPerSecond), Label: "training images a second"},
		report.Fact{Value: took.String(), Label: "of training"})
}

// Rows lists the values of the recipe for a report, in its own order.
func (r Recipe) Rows() []report.Setting {
	var list []report.Setting
	for _, v := range r.values() {
		if !v.unset {
			list = append(list, v.Setting)
		}
	}
	return list
}

// value is a key of a recipe with its value as a file has it; unset where the file may leave it out.
type value struct {
	report.Setting
	unset bool
}

// values lists all of a recipe but the description, in its own order.
func (r Recipe) values() []value {
	var list []value
	of := reflect.ValueOf(r)
	for _, f := range reflect.VisibleFields(of.Type()) {
		key, flags, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || key == "-" || key == "description" {
			continue
		}
		v := of.FieldByIndex(f.Index)
		text, err := json.Marshal(v.Interface())
		if err != nil { // a recipe that was validated can be written
			text = []byte(err.Error())
		}
		list = append(list, value{report.Setting{Name: key, Value: string(text)}, flags != "" && v.IsZero()})
	}
	return list
}
