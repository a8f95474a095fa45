package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// model is one set of weights in all the forms that sides load, and the images that they are given.
type model struct {
	name           string
	params         *vit.Params
	dir            string    // model directory in transformers' layout
	onnx, onnxInt8 string    // the same weights as ONNX: float32, and quantised as ONNX Runtime's tools do it
	images         []float32 // [checkImages, C, H, W]
	input          string    // the same as a file
}

// checkImages is how many images logits are compared on.
const checkImages = 16

// makeModel writes a dense model with random weights and its exports into the cache folder. All of it follows from the
// variant's name; it is made anew each time, so that it cannot be an older program's.
func makeModel(ctx context.Context, cache, name string, log *commandLog) (*model, error) {
	c, err := vit.Variant(name)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(cache, "models", name)
	if err := os.MkdirAll(filepath.Dir(base), 0o777); err != nil {
		return nil, err
	}
	m := &model{name: name, params: vit.Initialize(c, 1, 0), dir: base, onnx: base + ".onnx", onnxInt8: base +
		".int8.onnx", input: base + ".input"}
	whole := &vit.Model{Params: m.params, Preprocessor: picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)}
	if err := vit.Save(m.dir, whole, weights.F32); err != nil {
		return nil, err
	}
	log.add("adavit", "convert", m.dir, m.onnx)
	if _, err := tools.Convert(ctx, m.dir, m.onnx, tools.ConvertOptions{}); err != nil {
		return nil, err
	}
	if err := quantizeFile(m.onnx, m.onnxInt8); err != nil {
		return nil, err
	}
	m.images = drawImages(c, checkImages)
	return m, m.writeInput()
}

// logitsLen is the number of all images' logits.
func (m *model) logitsLen() int {
	c := m.params.Config
	return len(m.images) / (c.Channels * c.Height * c.Width) * c.Classes
}

// writeInput stores the images for the peers.
func (m *model) writeInput() error {
	bytes := make([]byte, 0, 4*len(m.images))
	for _, v := range m.images {
		bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(v))
	}
	return os.WriteFile(m.input, bytes, 0o666)
}

// drawImages makes n random images [n, C, H, W] about as bright as normalised photographs: a few waves across each
// channel and noise. Pure noise would make all images the same to a network, and the comparison of logits would say
// little.
func drawImages(c vit.Config, n int) []float32 {
	const waves = 6
	images := make([]float32, 0, n*c.Channels*c.Height*c.Width)
	for i := range n {
		rng := data.Rand(uint64(i), 0, 0)
		for range c.Channels {
			var fx, fy, phase [waves]float64
			for w := range waves {
				fx[w], fy[w], phase[w] = 4*rng.NormFloat64(), 4*rng.NormFloat64(), 2*math.Pi*rng.Float64()
			}
			mean := 0.5 * rng.NormFloat64()
			for y := range c.Height {
				for x := range c.Width {
					v := mean + 0.2*rng.NormFloat64()
					for w := range waves {
						v += 0.5 * math.Sin(fx[w]*float64(x)/float64(c.Width)*math.Pi+fy[w]*float64(y)/float64(c.Height)*math.Pi+phase[w])
					}
					images = append(images, float32(v))
				}
			}
		}
	}
	return images
}

// quantizeFile is quantizeONNX from file to file.
func quantizeFile(src, dst string) error {
	file, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	if file, err = quantizeONNX(file); err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	return os.WriteFile(dst, file, 0o666)
}
