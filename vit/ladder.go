package vit

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/atomicfile"
)

// Rung is one measured budget of a model: with these constants of its halting scheme an image costs Mean of the
// token-blocks that the dense model spends, on the average.
type Rung struct {
	Mean      float64            `json:"mean"`      // more than 0, at most 1; larger than the rung's before
	Constants map[string]float64 `json:"constants"` // by the scheme's keys; others are as in the model's configuration
	Figures
}

// Figures are what a rung came to on the images that it was measured on. A zero was not measured.
type Figures struct {
	TokenBlocks  float64  `json:"token_blocks,omitempty"`     // of an image, mean
	Percentile95 float64  `json:"token_blocks_p95,omitempty"` // no more for 95 of 100 images
	MACs         float64  `json:"macs,omitempty"`             // of an image, mean, counted from the tokens that ran
	Top1         *float64 `json:"top1,omitempty"`             // percent; nil where the images have no label of the model's
	Agreement    float64  `json:"agreement,omitempty"`        // percent that get the class of the model as it stands
	NLL          float64  `json:"nll,omitempty"`              // mean of −log p of the label, or else of that class
	Milliseconds float64  `json:"ms,omitempty"`               // for an image that runs alone, mean
}

// Calibration says how a ladder was measured.
type Calibration struct {
	Data             string `json:"data,omitempty"`
	Part             string `json:"part,omitempty"` // of the data
	Images           int    `json:"images,omitempty"`
	Precision        string `json:"precision,omitempty"`
	Threads          int    `json:"threads,omitempty"`
	Machine          string `json:"machine,omitempty"`
	Date             string `json:"date,omitempty"` // 2026-12-31
	DenseTokenBlocks int    `json:"dense_token_blocks,omitempty"`
	DenseMACs        int64  `json:"dense_macs,omitempty"`
	// Mean is the share of the dense token-blocks that an image costs with the model's own constants, on the average.
	Mean float64 `json:"mean,omitempty"`
}

// Apply returns h with the rung's constants.
func (r Rung) Apply(h halting.Config) halting.Config {
	for key, value := range r.Constants {
		h = h.With(key, value)
	}
	return h
}

// ladder is budgets.json. Keys that it does not have are for others.
type ladder struct {
	Calibration
	Rungs []Rung `json:"rungs"`
}

// readLadder reads the ladder, which may be absent.
func (s source) readLadder(m *Model) error {
	var file ladder
	if err := s.optional(LadderFile, &file); err != nil {
		return err
	}
	if err := file.check(&m.Params.Config); err != nil {
		return fmt.Errorf("%s: %w; the model works without this file", s.shown(LadderFile), err)
	}
	m.Ladder, m.Calibration = file.Rungs, file.Calibration
	return nil
}

// marshalLadder returns what LadderFile is to hold of a model.
func marshalLadder(m *Model) ([]byte, error) {
	file := ladder{m.Calibration, m.Ladder}
	err := file.check(&m.Params.Config)
	if err == nil {
		var text []byte
		if text, err = json.MarshalIndent(file, "", "  "); err == nil {
			return append(text, '\n'), nil
		}
	}
	return nil, fmt.Errorf("%s: %w", LadderFile, err)
}

// SaveLadder writes the model's ladder beside the weights that it was measured with, into their directory: all of it or
// nothing. Other files are left alone.
func SaveLadder(dir string, m *Model) error {
	text, err := marshalLadder(m)
	if err == nil {
		err = atomicfile.WriteFile(filepath.Join(dir, LadderFile), text)
	}
	if err != nil {
		return fmt.Errorf("vit: saving %s: %w", dir, err)
	}
	return nil
}

// check reports what in a ladder makes no sense, or does not go with the model.
func (l ladder) check(c *Config) error {
	dense := c.Tokens() * c.Layers
	if n := l.DenseTokenBlocks; n != 0 && n != dense {
		return fmt.Errorf("it was measured on a model of %d token-blocks, this one has %d", n, dense)
	}
	if !(l.Mean >= 0 && l.Mean <= 1) {
		return fmt.Errorf("the model's own constants cost %v of the dense model, want 0 (not measured) to 1", l.Mean)
	}
	if l.Images < 0 || l.Threads < 0 || l.DenseMACs < 0 {
		return fmt.Errorf("%d images, %d threads and %d dense MACs, want none below 0", l.Images, l.Threads, l.DenseMACs)
	}
	before := 0.0
	for i, r := range l.Rungs {
		switch {
		case !(r.Mean > 0 && r.Mean <= 1):
			return fmt.Errorf("rung %d costs %v of the dense model, want above 0 and at most 1", i, r.Mean)
		case r.Mean <= before:
			return fmt.Errorf("rung %d costs %v of the dense model, the one before it %v: want them rising",
				i, r.Mean, before)
		}
		if before = r.Mean; r.TokenBlocks > float64(dense) || r.Percentile95 > float64(dense) {
			return fmt.Errorf("rung %d costs %v token-blocks, 95 of 100 images at most %v, but the dense model %d",
				i, r.TokenBlocks, r.Percentile95, dense)
		}
		if err := r.Figures.check(); err != nil {
			return fmt.Errorf("rung %d: %w", i, err)
		}
		if err := r.Apply(c.Halting).ValidateFor(c.Layers); err != nil {
			return fmt.Errorf("rung %d: %w", i, err)
		}
	}
	return nil
}

// check reports the first figure that none can be.
func (f Figures) check() error {
	top1 := 0.0
	if f.Top1 != nil {
		top1 = *f.Top1
	}
	const any = math.MaxFloat64
	for _, v := range []struct {
		key        string
		value, max float64
	}{
		{"token_blocks", f.TokenBlocks, any}, {"token_blocks_p95", f.Percentile95, any}, {"macs", f.MACs, any},
		{"top1", top1, 100}, {"agreement", f.Agreement, 100}, {"nll", f.NLL, any}, {"ms", f.Milliseconds, any},
	} {
		if !(v.value >= 0 && v.value <= v.max) {
			return fmt.Errorf("%s is %v, want 0 to %v", v.key, v.value, v.max)
		}
	}
	return nil
}
