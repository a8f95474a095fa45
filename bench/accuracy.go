package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/infer"
)

// accuracyModel is the trained model whose accuracy is compared between precisions, on the test images of accuracyData.
const (
	accuracyModel = "fashion-adaptive"
	accuracyData  = "fashion-mnist"
)

// accuracy is what one precision does to a trained adaptive model.
type accuracy struct {
	precision string
	images    int
	top1      float64 // percent
	changed   int     // images that get another class than in float32
	moved     int     // tokens that halt in another block than in float32
	tokens    int     // all tokens of all images
	further   int     // blocks between the two, at most
	meanDepth float64 // N[k], mean over all tokens
}

// measureAccuracy runs every precision over the test images. limit bounds their number; 0 takes all.
func measureAccuracy(ctx context.Context, precisions []string, threads, limit int) ([]accuracy, error) {
	m, err := adavit.Open(accuracyModel)
	if err != nil {
		return nil, err
	}
	d, err := datasets.Open(accuracyData, data.Test, nil)
	if err != nil {
		return nil, err
	}
	c := m.Params.Config
	if d, err = data.Fit(d, m.Preprocessor, c.Channels, c.Height, c.Width); err != nil {
		return nil, err
	}
	if !slices.Equal(c.Labels, d.Classes()) {
		return nil, fmt.Errorf("%s has other classes than %s", accuracyModel, accuracyData)
	}
	n := d.Len()
	if limit > 0 {
		n = min(n, limit)
	}
	const batch = 250
	size := c.Channels * c.Height * c.Width
	images, pixels := make([]float32, batch*size), make([]byte, size)
	results := make([]found, len(precisions))
	labels := make([]int, n)
	engines := make([]*infer.Engine, len(precisions))
	for i, p := range precisions {
		w, err := infer.Pack(m.Params, infer.Precision(p))
		if err != nil {
			return nil, err
		}
		if engines[i], err = infer.New(w, infer.Options{Threads: threads, Full: true}); err != nil {
			return nil, err
		}
		defer engines[i].Close()
	}
	out := infer.Output{Trace: &infer.Trace{}}
	for first := 0; first < n; first += batch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		count := min(batch, n-first)
		for i := range count {
			if err := d.Pixels(pixels, first+i); err != nil {
				return nil, err
			}
			m.Preprocessor.Normalize(images[i*size:(i+1)*size], pixels, c.Channels, c.Height, c.Width)
			labels[first+i] = d.Label(first + i)
		}
		for i, engine := range engines {
			if err := engine.Run(ctx, infer.Batch{Images: images[:count*size]}, &out); err != nil {
				return nil, fmt.Errorf("%s: %w", precisions[i], err)
			}
			for k := range count {
				results[i].class = append(results[i].class, int32(argmax(out.Logits[k*c.Classes:(k+1)*c.Classes])))
			}
			results[i].depth = append(results[i].depth, out.Trace.Depth...)
		}
	}
	var all []accuracy
	for i, p := range precisions {
		all = append(all, results[i].against(results[0], p, labels))
	}
	return all, nil
}

// found is what one precision says of all images.
type found struct {
	class []int32 // [images] the largest logit
	depth []int32 // [images, N] N[k]
}

// against compares with another precision, float32, and with the labels.
func (f found) against(other found, precision string, labels []int) accuracy {
	a := accuracy{precision: precision, images: len(labels), tokens: len(f.depth)}
	right, depth := 0, 0
	for k, class := range f.class {
		if int(class) == labels[k] {
			right++
		}
		if class != other.class[k] {
			a.changed++
		}
	}
	for k, d := range f.depth {
		depth += int(d)
		if away := int(d - other.depth[k]); away != 0 {
			a.moved++
			a.further = max(a.further, away, -away)
		}
	}
	a.top1, a.meanDepth = 100*float64(right)/float64(a.images), float64(depth)/float64(a.tokens)
	return a
}
