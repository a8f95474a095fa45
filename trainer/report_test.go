package trainer

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// titles lists the charts of a page and their lines.
func titles(p report.Page) (out []string) {
	for _, c := range p.Charts {
		text := c.Title + ":"
		for _, s := range c.Series {
			text += " " + s.Name + ";"
		}
		out = append(out, text)
	}
	return out
}

// TestPage draws logs of a dense and of an adaptive run: what was not measured has no line.
func TestPage(t *testing.T) {
	page := func(log ...Entry) report.Page {
		r := runner{Options: Options{Dir: "some/run", Recipe: DefaultRecipe(), Threads: 1}, epochs: log}
		return r.page()
	}
	dense := page(Entry{Epoch: 1, Line: Line{Stats: train.Stats{Loss: 2, CrossEntropy: 2, LayerScores: []float64{0, 0}}}},
		Entry{Epoch: 2, Line: Line{Stats: train.Stats{Loss: 1, CrossEntropy: 1, LayerScores: []float64{0, 0}}}})
	want := []string{"Top-1: training images, augmented;", "Loss: loss; cross-entropy;", "Mean depth: training images;",
		"Learning rate: at the epoch's end;", "Gradient norm: mean of the epoch;", "Speed: training;"}
	if got := titles(dense); !slices.Equal(got, want) || dense.Scores != nil || dense.Title != "run" {
		t.Errorf("dense: %q, want %q", got, want)
	}
	adaptive := page(Entry{Epoch: 1, Test: &Figures{Top1: 50, MeanDepth: 3, Images: 10}}, // measured after a resume
		Entry{Epoch: 2, Line: Line{Stats: train.Stats{Loss: 3, CrossEntropy: 1, Distill: 1, Ponder: 4, Prior: 0.5,
			LayerScores: []float64{0.1, 0.9}}},
			Validation: &Figures{Top1: 62}, Test: &Figures{Top1: 60, MeanDepth: 2, Images: 10}})
	want = []string{"Top-1: training images, augmented; validation images; test images;",
		"Loss: loss; cross-entropy; distillation;", "Ponder cost: depth and remainder;", "Prior: from the target depth;",
		"Mean depth: training images; validation images; test images;", "Learning rate: at the epoch's end;",
		"Gradient norm: mean of the epoch;", "Speed: training;"}
	if got := titles(adaptive); !slices.Equal(got, want) {
		t.Errorf("adaptive: %q, want %q", got, want)
	}
	if h := adaptive.Scores; h == nil || !slices.Equal(h.X, []float64{2}) || !slices.Equal(h.Values[0], []float64{0.1,
		0.9}) {
		t.Errorf("scores %+v", h)
	}
	for _, p := range []report.Page{dense, adaptive, page()} {
		if _, err := report.HTML(p); err != nil {
			t.Error(err)
		}
	}
}

// TestShowTokens adds pictures of an adaptive model, a few of each class, and none of a dense one.
func TestShowTokens(t *testing.T) {
	pixels, labels := make([]byte, 10*28*28), make([]byte, 10)
	for i := range pixels {
		pixels[i] = byte(i * i)
	}
	for i := range labels {
		labels[i] = byte(i % 3)
	}
	for name, scheme := range map[string]string{"dense": "none", "adaptive": "token", "spatial": "sact"} {
		m := modeltest.Small(t, scheme != "none")
		m.Params.Config.Halting.Scheme = scheme
		test, err := data.NewBlock("grey", pixels, labels, 1, 28, 28, m.Params.Config.Labels)
		if err != nil {
			t.Fatal(err)
		}
		r := runner{Options: Options{Dir: filepath.Join(t.TempDir(), name), Recipe: DefaultRecipe(),
			Data: data.Parts{Test: test}}}
		if err := vit.Save(r.Dir, m, weights.F32); err != nil {
			t.Fatal(err)
		}
		var page report.Page
		if err := r.showTokens(t.Context(), &page); err != nil {
			t.Fatal(err)
		}
		if scheme == "none" {
			if page.Tally != nil || page.Samples != nil {
				t.Errorf("%s: pictures of tokens that all run to the end", name)
			}
			continue
		}
		if page.Tally.Images() != 10 || len(page.Samples) == 0 || len(page.Samples) > shownCards {
			t.Errorf("%s: %d images, %d pictures", name, page.Tally.Images(), len(page.Samples))
		}
		if has := strings.Contains(strings.Join(page.Notes, " "), "keeps its value"); has != (scheme == "sact") {
			t.Errorf("%s: notes %q", name, page.Notes)
		}
	}
}

// TestLimited: a limit takes the first images unless they lack a class.
func TestLimited(t *testing.T) {
	labels := make([]byte, 60)
	for i := range labels {
		labels[i] = byte(i / 20)
	}
	sorted, err := data.NewBlock("sorted", make([]byte, 60), labels, 1, 1, 1, []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	// 41 have all classes: the run itself stops there
	for limit, want := range map[int]int{0: 60, 12: 12, 41: 60, 60: 60, 99: 60} {
		d, err := limited(sorted, limit)
		if err != nil || d.Len() != want {
			t.Errorf("limit %d: %d images, %v, want %d", limit, d.Len(), err, want)
		}
		seen := map[int]bool{}
		for i := range d.Len() {
			seen[d.Label(i)] = true
		}
		if len(seen) != 3 {
			t.Errorf("limit %d: classes %v", limit, seen)
		}
	}
}
