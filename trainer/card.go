package trainer

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/vit"
)

// Card is training.json, which lies beside a trained model and says how it came about.
type Card struct {
	Recipe        Recipe         `json:"recipe"`         // with all overrides applied
	Init          string         `json:"init,omitempty"` // the model that the run started from
	Data          string         `json:"data"`
	Images        int            `json:"images"` // training images
	Steps         int            `json:"steps"`
	Seconds       float64        `json:"seconds"` // of training, without evaluation
	Threads       int            `json:"threads"`
	Kernels       string         `json:"kernels"` // instruction set; another one rounds differently
	Go            string         `json:"go"`
	Kept          string         `json:"kept"`                 // which weights the model holds
	KeptEpoch     int            `json:"kept_epoch,omitempty"` // after which they were kept
	Epochs        []Summary      `json:"epochs"`
	PrecisionLoss *PrecisionLoss `json:"precision_loss,omitempty"`
}

// Summary is an epoch in a Card. Test figures are percent and blocks, of the weights or the average, whichever was
// kept.
type Summary struct {
	Epoch     int     `json:"epoch"`
	Loss      float64 `json:"loss"`
	TrainTop1 float64 `json:"train_top1"`
	TestTop1  float64 `json:"test_top1,omitempty"`
	TestDepth float64 `json:"test_mean_depth,omitempty"`
}

// writeCard says how the run's model came about.
func (r *runner) writeCard(ctx context.Context, kept choice) error {
	loss, err := r.precisionLoss(ctx)
	if err != nil {
		return err
	}
	c := Card{Recipe: r.Recipe, Init: r.InitName, Data: r.DataName, Images: r.images(), Steps: r.step,
		Seconds: r.seconds(), Threads: r.Threads, Kernels: kernels.Path(), Go: runtime.Version(), Kept: kept.what,
		KeptEpoch: kept.entry.Epoch, PrecisionLoss: loss}
	for _, e := range r.epochs {
		s := Summary{Epoch: e.Epoch, Loss: e.Loss, TrainTop1: e.TrainTop1}
		if _, test := r.kept(e); test != nil {
			s.TestTop1, s.TestDepth = test.Top1, test.MeanDepth
		}
		c.Epochs = append(c.Epochs, s)
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(r.Dir, vit.CardFile), append(b, '\n'))
}

// maxCard bounds a training.json in bytes, which has a line for each epoch.
const maxCard = 64 << 20

// ReadCard reads the training.json of a finished run in dir.
func ReadCard(dir string) (c Card, err error) {
	path := filepath.Join(dir, vit.CardFile)
	text, err := regular.Read(path, maxCard)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}
