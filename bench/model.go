package main

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// model is one set of weights in all the forms that sides load, and the images that they are given.
type model struct {
	name        string
	params      *vit.Params
	base        string    // path of all its files, to which their endings are added
	dir         string    // model directory in transformers' layout
	onnx        string    // the same weights as ONNX, in float32
	images      []float32 // [checkImages, C, H, W]
	input       string    // the same as a file
	calibration string    // file of other images, by which peers find the scales of their int8

	preprocessor picture.Preprocessor
}

// checkImages is how many images logits are compared on, calibrationImages how many peers calibrate with.
const (
	checkImages       = 16
	calibrationImages = 32
)

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
	m := &model{name: name, params: vit.Initialize(c, 1, 0), base: base, dir: base, onnx: base + ".onnx",
		input: base + ".input", calibration: base + ".calibration"}
	m.preprocessor = picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)
	whole := &vit.Model{Params: m.params, Preprocessor: m.preprocessor}
	if err := vit.Save(m.dir, whole, weights.F32); err != nil {
		return nil, err
	}
	log.add("adavit", "convert", m.dir, m.onnx)
	if _, err := tools.Convert(ctx, m.dir, m.onnx, tools.ConvertOptions{}); err != nil {
		return nil, err
	}
	images := drawImages(c, checkImages+calibrationImages)
	m.images = images[:checkImages*c.ImageLen()]
	if err := writeImages(m.calibration, images[len(m.images):]); err != nil {
		return nil, err
	}
	return m, writeImages(m.input, m.images)
}

// logitsLen is the number of all images' logits.
func (m *model) logitsLen() int {
	c := m.params.Config
	return len(m.images) / (c.Channels * c.Height * c.Width) * c.Classes
}

// shape is the size of the model's images as peers take it.
func (m *model) shape() []string {
	c := m.params.Config
	return []string{strconv.Itoa(c.Channels), strconv.Itoa(c.Height), strconv.Itoa(c.Width)}
}

// writeImages stores images for the peers.
func writeImages(path string, images []float32) error {
	bytes := make([]byte, 0, 4*len(images))
	for _, v := range images {
		bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(v))
	}
	return os.WriteFile(path, bytes, 0o666)
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
