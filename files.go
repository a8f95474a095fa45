package adavit

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"time"

	"github.com/adavit/adavit/data"
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

// filesBatch is how many files are decoded before they are classified together. They lie in memory as decoded, a photograph in some 50 MB.
const filesBatch = 8

// ClassifyFiles classifies image files ("-" is stdin) and hands each one's result to emit, in order. A file that is no image is reported
// to emit as well and the rest goes on; failed counts them. Files go in batches of 8, so that all threads have work; a batch's time is
// shared out evenly. The error is emit's, ctx's or the engine's.
func ClassifyFiles(ctx context.Context, c *Classifier, stdin io.Reader, files []string, emit func(FileResult) error) (failed int, err error) {
	if err := oneStdin(files); err != nil {
		return 0, err
	}
	for len(files) > 0 {
		if err := ctx.Err(); err != nil {
			return failed, err
		}
		n := min(filesBatch, len(files))
		results, err := c.files(ctx, stdin, files[:n])
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
func (c *Classifier) files(ctx context.Context, stdin io.Reader, files []string) ([]FileResult, error) {
	begin := time.Now()
	decoded, errs := decodeFiles(c.threads, stdin, files)
	var good []image.Image
	for i, img := range decoded {
		if errs[i] == nil {
			good = append(good, img)
		}
	}
	var found []Result
	if len(good) > 0 {
		var err error
		if found, err = c.Classify(ctx, good...); err != nil {
			return nil, err
		}
	}
	each := float64(time.Since(begin).Microseconds()) / 1000 / float64(max(1, len(good)))
	results := make([]FileResult, len(files))
	for i, file := range files {
		results[i] = FileResult{File: file}
		if errs[i] != nil {
			results[i].Error = errs[i].Error()
			continue
		}
		results[i].Result, results[i].Milliseconds = &found[0], each
		found = found[1:]
	}
	return results, nil
}

// oneStdin refuses a list that names standard input twice: it holds one image.
func oneStdin(files []string) error {
	if first := slices.Index(files, "-"); first >= 0 && slices.Contains(files[first+1:], "-") {
		return fmt.Errorf("%w: standard input (-) is named more than once", ErrUsage)
	}
	return nil
}

// decodeFiles reads images, several at a time.
func decodeFiles(threads int, stdin io.Reader, files []string) ([]image.Image, []error) {
	images, errs := make([]image.Image, len(files)), make([]error, len(files))
	spread(threads, len(files), func(i int) {
		if files[i] == "-" {
			images[i], errs[i] = data.DecodeImage("standard input", stdin)
		} else {
			images[i], errs[i] = data.DecodeImageFile(files[i])
		}
	})
	return images, errs
}

// PreprocessFiles writes the images as the tensor "input" [B, C, H, W] F32 that the model would be fed, B in the order of the files, to a
// safetensors file, which appears whole or, if any image is bad, not at all.
func PreprocessFiles(ctx context.Context, m *vit.Model, stdin io.Reader, files []string, output string, threadCount int) (Written, error) {
	n, err := threads(threadCount)
	if err != nil {
		return Written{}, err
	}
	c := m.Params.Config
	if len(files) == 0 {
		return Written{}, errors.New("no images given")
	}
	if err := oneStdin(files); err != nil {
		return Written{}, err
	}
	size := imageSize(c)
	pixels := make([]float32, len(files)*size)
	for first := 0; first < len(files); first += filesBatch {
		if err := ctx.Err(); err != nil {
			return Written{}, err
		}
		batch := files[first:min(first+filesBatch, len(files))]
		images, errs := decodeFiles(n, stdin, batch)
		spread(n, len(batch), func(i int) {
			if errs[i] == nil {
				at := (first + i) * size
				if err := m.Preprocessor.Apply(pixels[at:at+size], images[i], c.Channels, c.Height, c.Width); err != nil {
					errs[i] = fmt.Errorf("%s: %w", batch[i], err)
				}
			}
		})
		if err := errors.Join(errs...); err != nil {
			return Written{}, err
		}
	}
	t := weights.Float32Tensor("input", []int{len(files), c.Channels, c.Height, c.Width}, pixels)
	return Written{output, len(files)}, weights.WriteSafetensors(output, nil, []weights.Tensor{t})
}
