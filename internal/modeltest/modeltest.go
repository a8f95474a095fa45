// Package modeltest makes the small models and data sets that tests of several packages use.
package modeltest

import (
	"errors"
	"image"
	"path/filepath"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
)

// Small makes a model of 28×28 grey images in ten classes with random weights: 50 tokens, three blocks. As adaptive
// model it halts tokens at many depths, by a gate whose scale is large.
func Small(t testing.TB, adaptive bool) *vit.Model {
	t.Helper()
	c, err := vit.Variant("fashion-small")
	filetest.Check(t, err)
	c.Layers, c.Labels = 3, Fashion(t).Classes()
	if adaptive {
		c.Halting = halting.Config{Scheme: "token"}.With("gate_scale", 4).With("gate_center", 0.5)
	}
	return &vit.Model{Params: vit.Initialize(c, 3, 0), Preprocessor: picture.DefaultPreprocessor(28, 28, 1)}
}

// Fashion opens the test images of Fashion-MNIST.
func Fashion(t testing.TB) data.Dataset {
	t.Helper()
	d, err := datasets.FashionMNISTTest()
	filetest.Check(t, err)
	return d
}

// Image returns image i of a data set of grey images.
func Image(t testing.TB, d data.Dataset, i int) image.Image {
	t.Helper()
	_, h, w := d.Size()
	img := image.NewGray(image.Rect(0, 0, w, h))
	filetest.Check(t, d.Pixels(img.Pix, i))
	return img
}

// Tensor returns the first n images of a data set as a model takes them: [n, C, H, W].
func Tensor(t testing.TB, m *vit.Model, d data.Dataset, n int) []float32 {
	t.Helper()
	c, size := m.Params.Config, m.Params.Config.ImageLen()
	images, pixels := make([]float32, n*size), make([]byte, size)
	for i := range n {
		filetest.Check(t, d.Pixels(pixels, i))
		m.Preprocessor.Normalize(images[i*size:(i+1)*size], pixels, c.Channels, c.Height, c.Width)
	}
	return images
}

// WriteIDX makes a data set of the first test images of Fashion-MNIST: 34 to train on and to choose by, 10 to test.
func WriteIDX(t testing.TB, dir string) {
	t.Helper()
	d := Fashion(t)
	for part, n := range map[string]int{"train": 34, "t10k": 10} {
		var images, labels []byte
		for i := range n {
			pixels := make([]byte, 784)
			filetest.Check(t, d.Pixels(pixels, i))
			images, labels = append(images, pixels...), append(labels, byte(d.Label(i)))
		}
		labels[len(labels)-1] = 9 // all ten classes are there
		file := func(kind string) string { return filepath.Join(dir, part+"-"+kind+"-ubyte") }
		filetest.Write(t, filetest.IDX(images, uint32(n), 28, 28), file("images-idx3"))
		filetest.Write(t, filetest.IDX(labels, uint32(n)), file("labels-idx1"))
	}
}

// Torn is a data set in which some images cannot be read.
type Torn struct {
	data.Dataset
	Bad func(i int) bool
}

// Pixels implements data.Dataset.
func (d Torn) Pixels(dst []byte, i int) error {
	if d.Bad(i) {
		return errors.New("torn")
	}
	return d.Dataset.Pixels(dst, i)
}

// Engine packs parameters and starts an engine that ends with the test.
func Engine(t testing.TB, p *vit.Params, precision infer.Precision, o infer.Options) *infer.Engine {
	t.Helper()
	w, err := infer.Pack(p, precision)
	filetest.Check(t, err)
	e, err := infer.New(w, o)
	filetest.Check(t, err)
	t.Cleanup(e.Close)
	return e
}
