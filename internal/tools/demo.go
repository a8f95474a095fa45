package tools

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/machine"
	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// DemoOptions say how Demo runs. The zero value will do.
type DemoOptions struct {
	Dir       string // folder for the report and the pictures; "" for adavit-report
	Limit     int    // only the first so many test images; 0 for all 10 000
	Threads   int    // 0 for the CPUs that the process may use
	Precision infer.Precision
	Progress  func(done, total int)
}

// DemoResult is what Demo measured and wrote.
type DemoResult struct {
	Models   []eval.Result `json:"models"`  // the dense one, then the adaptive one
	Speedup  float64       `json:"speedup"` // the adaptive model's images a second against the dense one's
	Report   string        `json:"report"`  // an HTML file
	Pictures []string      `json:"pictures"`
	Rows     []report.Row  `json:"-"` // Models as a table
}

// Names of the two models that Demo compares.
const (
	demoDense    = "fashion-dense"
	demoAdaptive = "fashion-adaptive"
)

// Demo runs the bundled dense and adaptive models over the bundled test images and writes a report with pictures of
// what became of the tokens. The models take turns, slice by slice, so that whatever else the machine does slows both
// alike.
func Demo(ctx context.Context, o DemoOptions) (DemoResult, error) {
	var found [2]*vit.Model
	for i, name := range [...]string{demoDense, demoAdaptive} {
		if !slices.Contains(adavit.BundledModels(), name) {
			return DemoResult{}, fmt.Errorf("the demo needs the bundled model %s, which is not in this build", name)
		}
		m, err := adavit.Open(name)
		if err != nil {
			return DemoResult{}, err
		}
		found[i] = m
	}
	d, err := datasets.FashionMNISTTest()
	if err != nil {
		return DemoResult{}, err
	}
	return compare(ctx, demoDense, found[0], demoAdaptive, found[1], d, o)
}

// compare is Demo for any two models and data.
func compare(ctx context.Context, denseName string, dense *vit.Model, adaptiveName string, adaptive *vit.Model,
	d data.Dataset, o DemoOptions) (DemoResult, error) {
	if o.Dir == "" {
		o.Dir = "adavit-report"
	}
	if err := atomicfile.Writable(o.Dir); err != nil { // better now than after the work
		return DemoResult{}, err
	}
	eo := eval.Options{Name: denseName, Limit: o.Limit, Threads: o.Threads, Precision: o.Precision}
	base, err := eval.New(dense, d, eo)
	if err != nil {
		return DemoResult{}, fmt.Errorf("%s: %w", denseName, err)
	}
	defer base.Close()
	eo.Name = adaptiveName
	other, err := eval.New(adaptive, d, eo)
	if err != nil {
		return DemoResult{}, fmt.Errorf("%s: %w", adaptiveName, err)
	}
	defer other.Close()
	collected, err := eval.NewCollector(other)
	if err != nil {
		return DemoResult{}, err
	}
	pair, size := []*eval.Evaluator{base, other}, min(base.SliceSize(), other.SliceSize())
	slices := (base.Total() + size - 1) / size
	err = turns.Play(ctx, slices, len(pair), func(_, i int) error {
		if err := pair[i].Slice(ctx, size); err != nil {
			return fmt.Errorf("%s: %w", pair[i].Name(), err)
		}
		return nil
	}, func(turn int) {
		if o.Progress != nil && turn%len(pair) == 0 {
			o.Progress(base.Done(), base.Total())
		}
	})
	if err != nil {
		return DemoResult{}, fmt.Errorf("stopped after %d of %d images: %w", base.Done(), base.Total(), err)
	}
	r := DemoResult{Models: []eval.Result{base.Result(), other.Result()}}
	r.Speedup = r.Models[1].ImagesPerSecond / r.Models[0].ImagesPerSecond
	for i, e := range r.Models {
		r.Rows = append(r.Rows, report.Row{Model: e.Model, Top1: e.Top1, Top5: e.Top5, MeanDepth: e.MeanDepth, MACs: e.MACs,
			DenseMACs:       e.DenseMACs,
			ImagesPerSecond: e.ImagesPerSecond, Speedup: e.ImagesPerSecond / r.Models[0].ImagesPerSecond, Images: e.Images,
			Threads: e.Threads, Precision: e.Precision})
		r.Rows[i].Top5 = 0 // of ten classes it says little
	}
	return r, r.write(o.Dir, collected)
}

// write makes the report and its pictures in dir.
func (r *DemoResult) write(dir string, c *eval.Collector) error {
	samples := c.Samples()
	page := report.Page{
		Title: "Adaptive tokens at work", Subtitle: fmt.Sprintf("%s beside %s on %d test images", r.Models[1].Model,
			r.Models[0].Model, r.Models[1].Images),
		Machine: machine.Describe(r.Models[0].Threads), Date: time.Now(), Facts: report.Compare(r.Rows[0], r.Rows[1]),
		Table: report.Models(r.Rows), Tally: c.Tally, Samples: samples,
		Notes: []string{
			"Depth is the number of blocks that a token really ran in. When the class token halts, the whole image is " +
				"finished, and all its tokens with it.",
			"MACs are multiply-accumulates of the tokens that ran. Images a second are counted from the data set's bytes to " +
				"the logits; the two models took turns, slice by slice, in one run with the same threads.",
			fmt.Sprintf("The pictures are the first %d of each class in the data set's order, not chosen for what they show.",
				eval.PerClass),
		},
	}
	r.Report = filepath.Join(dir, "report.html")
	if err := report.WriteHTML(r.Report, page); err != nil {
		return err
	}
	first := make([]report.Sample, 0, len(samples))
	for i, s := range samples {
		if i > 0 && samples[i-1].Label == s.Label {
			continue
		}
		first = append(first, s)
		img, err := report.Panel(s, 0)
		if err != nil {
			return err
		}
		if err := r.picture(dir, "panel-"+fileName(s.Label)+".png", func(path string) error {
			return report.WritePNG(path,
				img)
		}); err != nil {
			return err
		}
	}
	montage, err := report.Montage(first, report.FigureOptions{Title: "What each token was worth",
		Subtitle: r.Models[1].Model})
	if err != nil {
		return err
	}
	return r.picture(dir, "tokens.png", func(path string) error { return report.WritePNG(path, montage) })
}

func (r *DemoResult) picture(dir, name string, write func(path string) error) error {
	path := filepath.Join(dir, name)
	if err := write(path); err != nil {
		return err
	}
	r.Pictures = append(r.Pictures, path)
	return nil
}

// fileName makes a label fit for a file's name.
func fileName(label string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(label))
}
