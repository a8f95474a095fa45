package tools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// notInput refuses an output file that is one of the inputs, or a model directory's weights: it would be lost.
func notInput(output string, inputs ...string) error {
	out, err := os.Stat(output)
	if err != nil {
		return nil // it is not there, or writing it will say what is wrong
	}
	if dir, name := filepath.Split(output); name == vit.WeightsFile {
		if _, err := os.Stat(filepath.Join(dir, vit.ConfigFile)); err == nil {
			return usage.Errorf("the output %s is the weights of a model, which would be lost", output)
		}
	}
	for _, input := range inputs {
		if in, err := os.Stat(input); err == nil && os.SameFile(in, out) {
			return usage.Errorf("the output %s is the input %s, which would be lost", output, input)
		}
	}
	return nil
}

// maxPixels bounds the tensor that Preprocess makes: 1 Gi numbers, 4 GiB.
const maxPixels = 1 << 30

// Preprocess writes the pictures of f as the tensor "input" [B, C, H, W] F32 that the model would be fed, B in the
// order of f, to a safetensors file, which appears whole or, if any picture is bad, not at all. The error names all bad
// ones.
func Preprocess(ctx context.Context, m *vit.Model, f picture.Files, output string, threads int) (Written, error) {
	threads, err := parallel.Threads(threads)
	if err != nil {
		return Written{}, err
	}
	c, size := m.Params.Config, m.Params.Config.ImageLen()
	files, err := f.Resolve()
	if err != nil {
		return Written{}, err
	}
	inputs := []string{f.List} // "-" names no file
	for _, file := range files {
		inputs = append(inputs, file.Name)
	}
	if err := notInput(output, inputs...); err != nil {
		return Written{}, err
	}
	if err := m.Preprocessor.Check(c.Channels, c.Height, c.Width); err != nil {
		return Written{}, fmt.Errorf("%s: %w", vit.PreprocessorFile, err)
	}
	if len(files) > maxPixels/size {
		return Written{}, fmt.Errorf("%d images of %d numbers each: a tensor holds at most %d such images",
			len(files), size, maxPixels/size)
	}
	pixels, errs := make([]float32, len(files)*size), make([]error, len(files))
	parallel.For(threads, len(files), func(_, i int) {
		if ctx.Err() != nil {
			return
		}
		img, err := f.Decode(files[i])
		if err != nil {
			errs[i] = err // names the file itself
		} else if err = m.Preprocessor.Apply(pixels[i*size:(i+1)*size], img, c.Channels, c.Height, c.Width); err != nil {
			errs[i] = fmt.Errorf("%s: %w", files[i].Name, err)
		}
	})
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return Written{}, err
	}
	t := weights.Float32Tensor("input", []int{len(files), c.Channels, c.Height, c.Width}, pixels)
	return Written{output, len(files)}, weights.WriteSafetensors(output, nil, []weights.Tensor{t})
}
