package adavit

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"time"

	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// FileResult is what became of one image file.
type FileResult struct {
	File string `json:"file"`
	*Result
	Milliseconds float64 `json:"milliseconds,omitempty"` // decoding, resizing and inference; of a batch of files, the mean
	Error        string  `json:"error,omitempty"`        // why there is no result
}

// filesBatch is how many files are read before they are classified together. Each thread has one picture at a time in memory as it was decoded.
const filesBatch = 8

// ClassifyFiles classifies image files and hands each one's result to emit, in order. A file that is no image is reported to emit as well
// and the rest goes on; failed counts them. Files go in batches of 8, so that all threads have work; a batch's time is shared out evenly.
// The error is the list's, emit's, ctx's or the engine's.
func ClassifyFiles(ctx context.Context, c *Classifier, f ImageFiles, emit func(FileResult) error) (failed int, err error) {
	files, err := f.resolve()
	if err != nil {
		return 0, err
	}
	for len(files) > 0 {
		if err := ctx.Err(); err != nil {
			return failed, err
		}
		n := min(filesBatch, len(files))
		results, err := c.files(ctx, f, files[:n])
		if err != nil {
			return failed, err
		}
		for _, r := range results {
			if r.Error != "" {
				failed++
			}
			if err := emit(r); err != nil {
				return failed, err
			}
		}
		files = files[n:]
	}
	return failed, nil
}

// files decodes and classifies one batch.
func (c *Classifier) files(ctx context.Context, f ImageFiles, files []imageFile) ([]FileResult, error) {
	begin := time.Now()
	read := make([]bool, len(files))
	found, errs, err := c.batch(ctx, len(files), func(i int, dst []float32) error {
		img, err := f.decode(files[i])
		if read[i] = err == nil; !read[i] {
			return err
		}
		return c.apply(dst, img)
	})
	if err != nil {
		return nil, err
	}
	good := 0
	for i, err := range errs {
		if err == nil {
			good++
		} else if read[i] {
			errs[i] = named(files[i].name, err)
		}
	}
	each := float64(time.Since(begin).Microseconds()) / 1000 / float64(max(1, good))
	results := make([]FileResult, len(files))
	for i, file := range files {
		results[i] = FileResult{File: file.name}
		if errs[i] != nil {
			results[i].Error = errs[i].Error()
		} else {
			results[i].Result, results[i].Milliseconds = &found[i], each
		}
	}
	return results, nil
}

// notInput refuses an output file that is one of the inputs, or a model directory's weights: it would be lost.
func notInput(output string, inputs ...string) error {
	out, err := os.Stat(output)
	if err != nil {
		return nil // it is not there, or writing it will say what is wrong
	}
	if dir, name := filepath.Split(output); name == vit.WeightsFile {
		if _, err := os.Stat(filepath.Join(dir, vit.ConfigFile)); err == nil {
			return fmt.Errorf("%w: the output %s is the weights of a model, which would be lost", ErrUsage, output)
		}
	}
	for _, input := range inputs {
		if in, err := os.Stat(input); err == nil && os.SameFile(in, out) {
			return fmt.Errorf("%w: the output %s is the input %s, which would be lost", ErrUsage, output, input)
		}
	}
	return nil
}

// named puts a file's name before an error.
func named(file string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", file, err)
}

// maxPixels bounds the tensor that PreprocessFiles makes: 1 Gi numbers, 4 GiB.
const maxPixels = 1 << 30

// PreprocessFiles writes the images as the tensor "input" [B, C, H, W] F32 that the model would be fed, B in the order of ImageFiles, to a
// safetensors file, which appears whole or, if any image is bad, not at all. The error names all bad ones.
func PreprocessFiles(ctx context.Context, m *vit.Model, f ImageFiles, output string, threadCount int) (Written, error) {
	n, err := threads(threadCount)
	if err != nil {
		return Written{}, err
	}
	c := m.Params.Config
	files, err := f.resolve()
	if err != nil {
		return Written{}, err
	}
	var inputs []string
	if f.List != "-" {
		inputs = append(inputs, f.List)
	}
	for _, file := range files {
		inputs = append(inputs, file.name)
	}
	if err := notInput(output, inputs...); err != nil {
		return Written{}, err
	}
	if err := m.Preprocessor.Check(c.Channels, c.Height, c.Width); err != nil {
		return Written{}, named(vit.PreprocessorFile, err)
	}
	size := imageSize(c)
	if len(files) > maxPixels/size {
		return Written{}, fmt.Errorf("%d images of %d numbers each: a tensor holds at most %d such images", len(files), size, maxPixels/size)
	}
	pixels := make([]float32, len(files)*size)
	var bad []error
	for first := 0; first < len(files); first += filesBatch {
		if err := ctx.Err(); err != nil {
			return Written{}, err
		}
		batch := files[first:min(first+filesBatch, len(files))]
		errs := make([]error, len(batch))
		spread(n, len(batch), func(i int) {
			at := (first + i) * size
			var img image.Image
			if img, errs[i] = f.decode(batch[i]); errs[i] == nil {
				errs[i] = named(batch[i].name, m.Preprocessor.Apply(pixels[at:at+size], img, c.Channels, c.Height, c.Width))
			}
		})
		bad = append(bad, errs...)
	}
	if err := errors.Join(bad...); err != nil {
		return Written{}, err
	}
	t := weights.Float32Tensor("input", []int{len(files), c.Channels, c.Height, c.Width}, pixels)
	return Written{output, len(files)}, weights.WriteSafetensors(output, nil, []weights.Tensor{t})
}
