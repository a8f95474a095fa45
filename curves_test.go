package adavit

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
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

// TestTrainingPage draws logs of a dense and of an adaptive run: what was not measured has no line.
func TestTrainingPage(t *testing.T) {
	o := TrainOptions{Dir: "some/run", Recipe: train.DefaultRecipe()}
	dense := trainingPage(o, 1, []train.Entry{{Epoch: 1, Loss: 2, CrossEntropy: 2, LayerScores: []float64{0, 0}}, {Epoch: 2, Loss: 1, CrossEntropy: 1, LayerScores: []float64{0, 0}}})
	want := []string{"Top-1: training images, augmented;", "Loss: loss; cross-entropy;", "Mean depth: training images;", "Learning rate: at the epoch's end;", "Gradient norm: mean of the epoch;", "Speed: training;"}
	if got := titles(dense); !slices.Equal(got, want) || dense.Scores != nil || dense.Title != "run" {
		t.Errorf("dense: %q, want %q", got, want)
	}
	log := []train.Entry{{Epoch: 1, Test: map[string]float64{"top1": 50, "mean_depth": 3, "images": 10}}, // measured after a resume
		{Epoch: 2, Loss: 3, CrossEntropy: 1, Distill: 1, Ponder: 4, Prior: 0.5, LayerScores: []float64{0.1, 0.9}, Test: map[string]float64{"top1": 60, "mean_depth": 2, "images": 10}}}
	adaptive := trainingPage(o, 1, log)
	want = []string{"Top-1: training images, augmented; test images;", "Loss: loss; cross-entropy; distillation;", "Ponder cost: depth and remainder;", "Prior: from the target depth;",
		"Mean depth: training images; test images;", "Learning rate: at the epoch's end;", "Gradient norm: mean of the epoch;", "Speed: training;"}
	if got := titles(adaptive); !slices.Equal(got, want) {
		t.Errorf("adaptive: %q, want %q", got, want)
	}
	if h := adaptive.Scores; h == nil || !slices.Equal(h.X, []float64{2}) || !slices.Equal(h.Values[0], []float64{0.1, 0.9}) {
		t.Errorf("scores %+v", h)
	}
	for _, p := range []report.Page{dense, adaptive, trainingPage(o, 1, nil)} {
		if _, err := report.HTML(p); err != nil {
			t.Error(err)
		}
	}
}

// TestShowTokens adds pictures of an adaptive model, a few of each class, and none of a dense one.
func TestShowTokens(t *testing.T) {
	dir := t.TempDir()
	set := filepath.Join(dir, "set")
	modeltest.WriteIDX(t, set)
	test, err := datasets.Open(set, data.Test, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, policy := range map[string]string{"dense": "none", "adaptive": "token", "spatial": "sact"} {
		m := modeltest.Small(t, policy != "none")
		m.Params.Config.Halting.Policy = policy
		o := TrainOptions{Dir: filepath.Join(dir, name), Recipe: train.DefaultRecipe()}
		if err := vit.Save(o.Dir, m, weights.F32); err != nil {
			t.Fatal(err)
		}
		var page report.Page
		if err := o.showTokens(t.Context(), &page, test, 1); err != nil {
			t.Fatal(err)
		}
		if policy == "none" {
			if page.Tally != nil || page.Samples != nil {
				t.Errorf("%s: pictures of tokens that all run to the end", name)
			}
			continue
		}
		if page.Tally.Images() != 10 || len(page.Samples) == 0 || len(page.Samples) > shownCards {
			t.Errorf("%s: %d images, %d pictures", name, page.Tally.Images(), len(page.Samples))
		}
		if has := strings.Contains(strings.Join(page.Notes, " "), "keeps its value"); has != (policy == "sact") {
			t.Errorf("%s: notes %q", name, page.Notes)
		}
	}
}
