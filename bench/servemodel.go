package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/eval"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// servedModel is what servers are measured on.
type servedModel struct {
	name string
	peer bool // FastAPI serves it too
	what string
}

var servedModels = []servedModel{
	{"fashion", true, "the bundled fashion-dense, and fashion-adaptive for halting tokens; grey JPEG files of 28×28"},
	{"deit-tiny", true,
		"random weights; patch tokens halt by lot, to A-ViT-Ti's published mean depth; JPEG files of 400×300"},
	{"deit-small", false, "the same, larger"},
}

// modelToServe finds a model by its name, which may be any architecture's.
func modelToServe(name string) (servedModel, error) {
	for _, m := range servedModels {
		if m.name == name {
			return m, nil
		}
	}
	_, err := vit.Variant(name)
	return servedModel{name, true, "random weights; patch tokens halt by lot; JPEG files, larger than the images"}, err
}

// served is a model in the forms that servers load.
type served struct {
	servedModel
	dense, adaptive string // as adavit serve takes them: names or directories; the adaptive one has a ladder of budgets
	files           string // directory of the dense one, for its configuration
	onnx            string // the dense one in float32
	pictures        string // folder of JPEG files, in two classes
	first           []byte // one of them
}

// calibrated are the budgets of a ladder that is made here.
var calibrated = []float64{0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1}

// makeServed writes a model and its pictures into the cache folder, anew each time.
func makeServed(ctx context.Context, cache, name string) (*served, error) {
	model, err := modelToServe(name)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cache, "serve", model.name)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	s := &served{servedModel: model, files: filepath.Join(dir, "dense"), onnx: filepath.Join(dir, "dense.onnx"),
		pictures: filepath.Join(dir, "pictures")}
	adaptive := filepath.Join(dir, "adaptive")
	for _, d := range []string{s.files, adaptive, filepath.Join(s.pictures, "even"), filepath.Join(s.pictures, "odd")} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return nil, err
		}
	}
	if model.name == "fashion" {
		err = s.trained(ctx, adaptive)
	} else {
		err = s.random(ctx, adaptive)
	}
	if err != nil {
		return nil, err
	}
	_, err = tools.Convert(ctx, s.dense, s.onnx, tools.ConvertOptions{})
	return s, err
}

// trained is Fashion-MNIST's bundled models.
func (s *served) trained(ctx context.Context, adaptive string) error {
	s.dense, s.adaptive = "fashion-dense", "fashion-adaptive"
	dense, err := adavit.Open(s.dense)
	if err != nil {
		return err
	}
	if err := vit.Save(s.files, dense, weights.F32); err != nil {
		return err
	}
	test, err := datasets.FashionMNISTTest()
	if err != nil {
		return err
	}
	for i := range 500 {
		img, err := data.Image(test, i*test.Len()/500, picture.Decoding{})
		if err != nil {
			return err
		}
		if err := s.add(i, img); err != nil {
			return err
		}
	}
	m, err := adavit.Open(s.adaptive)
	if err != nil || m.Ladder != nil {
		return err
	}
	s.adaptive = adaptive
	return calibrate(ctx, adaptive, m, "fashion-mnist")
}

// random is a model with random weights.
func (s *served) random(ctx context.Context, adaptive string) error {
	s.dense, s.adaptive = s.files, adaptive
	c, err := vit.Variant(s.name)
	if err != nil {
		return err
	}
	m := &vit.Model{Params: vit.Initialize(c, 1, 0),
		Preprocessor: picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)}
	if err := vit.Save(s.files, m, weights.F32); err != nil {
		return err
	}
	const count = 64
	height, width := c.Height*300/224, c.Width*400/224
	c.Height, c.Width = height, width // of the picture files
	size := c.ImageLen()
	waves := drawImages(c, count)
	for i := range count {
		img := image.NewNRGBA(image.Rect(0, 0, width, height))
		for p := range height * width {
			for ch := range 3 {
				img.Pix[4*p+ch] = uint8(min(max(127+60*waves[i*size+ch*height*width+p], 0), 255))
			}
			img.Pix[4*p+3] = 255
		}
		if err := s.add(i, img); err != nil {
			return err
		}
	}
	m.Params.Config.Halting = halting.Config{Scheme: "random"}.With("rate", lotRate(mean(avitTiny()), c.Layers))
	return calibrate(ctx, adaptive, m, s.pictures)
}

// add writes the i-th picture.
func (s *served) add(i int, img image.Image) error {
	var b bytes.Buffer
	// In the usual quality random waves take as many bytes as photographs of their size do in a better one.
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: jpeg.DefaultQuality}); err != nil {
		return err
	}
	if i == 0 {
		s.first = b.Bytes()
	}
	name := filepath.Join(s.pictures, []string{"even", "odd"}[i%2], fmt.Sprintf("%03d.jpg", i))
	return os.WriteFile(name, b.Bytes(), 0o666)
}

// calibrate stores a model with a ladder of budgets.
func calibrate(ctx context.Context, dir string, m *vit.Model, data string) error {
	if err := vit.Save(dir, m, weights.F32); err != nil {
		return err
	}
	_, err := tools.Calibrate(ctx, tools.CalibrateOptions{Model: dir, Data: data, CalibrateOptions: eval.CalibrateOptions{
		Budgets: calibrated, Precision: infer.Int8, Limit: 1000}})
	return err
}

// lotRate is the chance to halt after a block by which a token runs, on average, in such a share of the blocks.
func lotRate(share float64, layers int) float64 {
	low, high := 0.0, 1.0
	for range 60 {
		rate, runs := (low+high)/2, 0.0
		for l := range layers {
			runs += math.Pow(1-rate, float64(l)) / float64(layers)
		}
		if runs > share {
			low = rate
		} else {
			high = rate
		}
	}
	return low
}
