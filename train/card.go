package train

import (
	"encoding/json"
	"path/filepath"
	"runtime"

	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// Card is training.json, which lies beside a trained model and says how it came about.
type Card struct {
	Recipe    Recipe    `json:"recipe"`         // with all overrides applied
	Init      string    `json:"init,omitempty"` // the model that the run started from
	Data      string    `json:"data"`
	Images    int       `json:"images"` // training images
	Steps     int       `json:"steps"`
	Seconds   float64   `json:"seconds"` // of training, without evaluation
	Threads   int       `json:"threads"`
	Kernels   string    `json:"kernels"` // instruction set; another one rounds differently
	Go        string    `json:"go"`
	Kept      string    `json:"kept"`                 // which weights the model holds
	KeptEpoch int       `json:"kept_epoch,omitempty"` // after which they were kept
	Epochs    []Summary `json:"epochs"`

	// PrecisionLoss is what other precisions than f32 cost the model on test images, in points of top-1: test top-1 in f32 less that in bf16, int8.
	PrecisionLoss map[string]float64 `json:"precision_loss,omitempty"`
}

// Summary is an epoch in a Card. Test figures are percent and blocks on held-out images, of the better ones of weights and average.
type Summary struct {
	Epoch     int     `json:"epoch"`
	Loss      float64 `json:"loss"`
	TrainTop1 float64 `json:"train_top1"`
	TestTop1  float64 `json:"test_top1,omitempty"`
	TestDepth float64 `json:"test_mean_depth,omitempty"`
}

// writeCard says how the run's model came about.
func (r *runner) writeCard(kept keptWeights, precisionLoss map[string]float64) error {
	c := Card{Recipe: r.Recipe, Init: r.InitName, Data: r.DataName, Images: r.images(), Steps: r.opt.step, Threads: max(1, r.Threads),
		Kernels: kernels.Path(), Go: runtime.Version(), Kept: kept.what, KeptEpoch: kept.entry.Epoch, PrecisionLoss: precisionLoss}
	for _, e := range r.epochs {
		test := e.Kept()
		c.Seconds += e.Seconds
		c.Epochs = append(c.Epochs, Summary{e.Epoch, e.Loss, e.TrainTop1, test["top1"], test["mean_depth"]})
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(r.Dir, vit.CardFile), append(b, '\n'))
}
