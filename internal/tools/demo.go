package tools

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/machine"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// DemoResult is what Demo measured and wrote.
type DemoResult struct {
	Models   []eval.Result `json:"models"`  // the dense one, then the adaptive one
	Speedup  float64       `json:"speedup"` // the adaptive model's images a second against the dense one's
	Report   string        `json:"report"`  // an HTML file
	Pictures []string      `json:"pictures"`
	Rows     []report.Row  `json:"-"` // Models as a table
}

// demos are the bundled images that Demo runs models over, the usual ones first. Where the program has no dense model,
// the adaptive one with all of its tokens takes its place.
var demos = []struct {
	data            string
	open            func() (data.Dataset, error)
	dense, adaptive string
}{
	{"fashion-mnist", datasets.FashionMNISTTest, "fashion-dense", "fashion-adaptive"},
	{"textile", func() (data.Dataset, error) { return datasets.TextileTest(), nil }, "", "textile-adaptive"},
}

// DemoData names the data sets that Demo knows, the usual one first.
func DemoData() (names []string) {
	for _, d := range demos {
		names = append(names, d.data)
	}
	return names
}

// Demo runs a bundled adaptive model over bundled test images, beside the dense one that was trained as long, and
// writes a report with pictures of what became of the tokens into the folder dir. Of textile there is no dense model in
// the program: there the same model with all of its tokens stands beside it.
func Demo(ctx context.Context, dataset, dir string, o eval.Options) (DemoResult, error) {
	at := slices.Index(DemoData(), dataset)
	if at < 0 {
		return DemoResult{}, usage.Errorf("the demo has no data set %q, only %s", dataset, strings.Join(DemoData(), " and "))
	}
	demo := demos[at]
	names := [2]string{demo.dense, demo.adaptive}
	var found [2]*vit.Model
	for i, name := range names {
		if name == "" {
			continue
		}
		if !slices.Contains(adavit.BundledModels(), name) {
			return DemoResult{}, fmt.Errorf("the demo needs the bundled model %s, which is not in this build", name)
		}
		var err error
		if found[i], err = adavit.Open(name); err != nil {
			return DemoResult{}, err
		}
	}
	if demo.dense == "" {
		names[0], found[0] = demo.adaptive+", all tokens", found[1].WithHalting(halting.Dense())
	}
	d, err := demo.open()
	if err != nil {
		return DemoResult{}, err
	}
	return compare(ctx, names, found, d, dir, o)
}

// compare is Demo for any two models and data.
func compare(ctx context.Context, names [2]string, models [2]*vit.Model, d data.Dataset, dir string, o eval.Options) (
	r DemoResult, err error) {
	if err := atomicfile.Writable(dir); err != nil { // better now than after the work
		return r, err
	}
	if _, err := os.Stat(filepath.Join(dir, vit.ConfigFile)); err == nil {
		return r, fmt.Errorf("%s holds a model, whose report would be lost; name another folder", dir)
	}
	if err := ownReport(dir); err != nil {
		return r, err
	}
	var seen *eval.Collector
	if r.Models, seen, err = eval.Collect(ctx, d, o, models[:]...); err != nil {
		return r, err
	}
	r.Speedup = r.Models[1].ImagesPerSecond / r.Models[0].ImagesPerSecond
	for i, name := range names {
		e := &r.Models[i]
		e.Model = name
		r.Rows = append(r.Rows, report.Row{ // without Top5: of ten classes it says little
			Model: name, Top1: e.Top1, MeanDepth: e.MeanDepth, MACs: e.MACs, DenseMACs: e.DenseMACs,
			ImagesPerSecond: e.ImagesPerSecond, Speedup: e.ImagesPerSecond / r.Models[0].ImagesPerSecond,
			Images: e.Images, Threads: e.Threads, Precision: e.Precision})
	}
	return r, r.write(dir, seen)
}

// What a demo writes. Its pictures lie beside the report.
const (
	reportFile    = "report.html"
	reportTitle   = "Adaptive tokens at work"
	tokensFile    = "tokens" + pngExt
	contrastsFile = "easy-hard" + pngExt
	panelPrefix   = "panel-"
)

// ownReport reports a file in dir that has a name of the report's, but which no demo wrote.
func ownReport(dir string) error {
	if bytes.Contains(startOf(filepath.Join(dir, reportFile), 1<<10), []byte("<title>"+reportTitle)) {
		return nil // so the pictures are the demo's, too
	}
	list, err := os.ReadDir(dir)
	for _, e := range list {
		name := e.Name()
		panel := strings.HasPrefix(name, panelPrefix) && filepath.Ext(name) == pngExt
		if panel || name == reportFile || name == tokensFile || name == contrastsFile {
			return fmt.Errorf("%s is there, and no demo wrote it; remove it, or name another folder",
				filepath.Join(dir, name))
		}
	}
	return err
}

// write makes the report and its pictures in dir.
func (r *DemoResult) write(dir string, c *eval.Collector) error {
	base, adaptive, samples := r.Models[0], r.Models[1], c.Samples()
	r.Report = filepath.Join(dir, reportFile)
	if err := report.WriteHTML(r.Report, report.Page{
		Title:    reportTitle,
		Subtitle: fmt.Sprintf("%s beside %s on %d test images", adaptive.Model, base.Model, adaptive.Images),
		Machine:  machine.Describe(base.Threads), Date: time.Now(), Facts: report.Compare(r.Rows[0], r.Rows[1]),
		Table: report.Models(r.Rows), Tally: c.Tally, Contrasts: c.Contrasts, Samples: samples,
		Notes: []string{
			"Depth is the number of blocks that a token really ran in. When the class token halts, or a model with an exit " +
				"is sure of its prediction, the whole image has ended, and all its tokens with it.",
			"MACs are multiply-accumulates of the tokens that ran. Images a second are counted from the data set's bytes to " +
				"the logits; the two models took turns, slice by slice, in one run with the same threads.",
			"Depths of a class and of an image are means over all of their tokens, the class token included; easy and hard " +
				"images are the extremes of all that were classified rightly.",
			fmt.Sprintf("The other pictures are the first %d of each class in the data set's order, not chosen for what they "+
				"show.", eval.PerClass),
		},
	}); err != nil {
		return err
	}
	first := slices.CompactFunc(slices.Clone(samples), func(a, b report.Sample) bool { return a.Label == b.Label })
	for _, s := range first {
		img, err := report.Panel(s, 0)
		if err != nil {
			return err
		}
		if err := r.picture(dir, panelPrefix+fileName(s.Label)+pngExt, img); err != nil {
			return err
		}
	}
	montage, err := report.Montage(first, report.FigureOptions{Title: "What each token was worth",
		Subtitle: adaptive.Model})
	if err != nil {
		return err
	}
	if err := r.picture(dir, tokensFile, montage); err != nil || len(c.Contrasts) == 0 {
		return err
	}
	contrasts, err := report.EasyHard(c.Contrasts, report.FigureOptions{Title: "Easy and hard images",
		Subtitle: adaptive.Model + ": of each class the rightly classified images that cost least and most"})
	if err != nil {
		return err
	}
	return r.picture(dir, contrastsFile, contrasts)
}

func (r *DemoResult) picture(dir, name string, img *image.RGBA) error {
	path := filepath.Join(dir, name)
	r.Pictures = append(r.Pictures, path)
	return report.WritePNG(path, img)
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
