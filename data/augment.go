package data

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/adavit/adavit/picture"
)

// Augment is what happens to a picture at random before it is trained on. Its zero value changes nothing. The fields of
// the first group are enough for small grey pictures; those of the second are timm's, for photographs, and happen
// before them, in this order: crop, mirror, RandAugment or colour jitter.
type Augment struct {
	// Shift moves the picture by up to so many whole pixels on each axis; what comes in from outside is black (byte 0).
	Shift int `json:"shift"`
	// Flip mirrors left and right with probability ½.
	Flip bool `json:"flip"`
	// Affine turns by up to ±Affine radians and scales by a factor of 1 ± Affine, about the centre, bilinearly. 0 (off)
	// to 1.
	Affine float64 `json:"affine,omitempty"`
	// EraseProb is the probability that a rectangle is replaced by noise (Zhong et al. 2020, "Random Erasing").
	EraseProb float64 `json:"erase_prob"`
	// EraseMax is the largest share of the picture that a rectangle takes; the share is uniform from 0.02 to EraseMax,
	// its shape log-uniform from 3:10 to 10:3.
	EraseMax float64 `json:"erase_max"`
	// EraseMode says what the noise is: EraseBytes (the same as "") or ErasePixels.
	EraseMode string `json:"erase_mode,omitempty"`
	// EraseCount is the largest number of rectangles, which share EraseMax out among them; how many it are is uniform
	// from 1 on. 0 is 1. Above 1 it needs ErasePixels.
	EraseCount int `json:"erase_count,omitempty"`

	// RandomResizedCrop, if there is one, takes the place of the resize and the centre crop of the model's
	// preprocessor.
	RandomResizedCrop *RandomResizedCrop `json:"random_resized_crop,omitempty"`
	// RandAugment is the policy of RandAugment (Cubuk et al. 2020) in timm's notation, such as "rand-m9-mstd0.5-inc1";
	// "" for none. See ParseRandAugment.
	RandAugment string `json:"rand_augment,omitempty"`
	// ColorJitter changes brightness, contrast and saturation, in random order, by factors uniform in 1 ± ColorJitter
	// (not below 0). 0 is off. As in timm it is left out where RandAugment is on, unless ColorJitterAlways.
	ColorJitter       float64 `json:"color_jitter,omitempty"`
	ColorJitterAlways bool    `json:"color_jitter_always,omitempty"`
}

// bound is a number of a recipe and what it may be.
type bound struct {
	key              string
	value, low, high float64
}

// within says which number of the object called name is out of range.
func within(name string, bounds ...bound) error {
	for _, b := range bounds {
		if !(b.value >= b.low && b.value <= b.high) { // NaN is not
			return fmt.Errorf("%s: %s %v, want %v to %v", name, b.key, b.value, b.low, b.high)
		}
	}
	return nil
}

// Validate says which field is out of range.
func (a Augment) Validate() error {
	least := 0.0
	if a.EraseProb > 0 {
		least = eraseMin
	}
	err := within("augment",
		bound{"shift", float64(a.Shift), 0, picture.MaxSide},
		bound{"affine", a.Affine, 0, 0.9},
		bound{"erase_prob", a.EraseProb, 0, 1},
		bound{"erase_max", a.EraseMax, least, 1},
		bound{"erase_count", float64(a.EraseCount), 0, maxErase},
		bound{"color_jitter", a.ColorJitter, 0, maxJitter})
	switch {
	case err != nil:
		return err
	case a.EraseMode != "" && a.EraseMode != EraseBytes && a.EraseMode != ErasePixels:
		return fmt.Errorf("augment: erase_mode %q, want %q or %q", a.EraseMode, EraseBytes, ErasePixels)
	case a.EraseCount > 1 && a.EraseMode != ErasePixels:
		return fmt.Errorf("augment: erase_count %d needs erase_mode %q", a.EraseCount, ErasePixels)
	}
	if a.RandomResizedCrop != nil {
		err = a.RandomResizedCrop.Validate()
	}
	if err == nil && a.RandAugment != "" {
		_, err = ParseRandAugment(a.RandAugment)
	}
	if err != nil {
		return fmt.Errorf("augment: %w", err)
	}
	return nil
}

// Apply augments src and normalises it to dst, both [c, h, w]:
//
//	dst = (byte/255 − mean[c]) / std[c]
//
// mean and std have c numbers (picture.Preprocessor.MeanStd gives them). All chance comes from rng; how many numbers
// are drawn depends on a alone up to the erased rectangles, so one step's luck does not alter another's. Nothing is
// allocated.
//
// Apply knows Shift, Flip, Affine and the Erase fields; an Augmenter does all.
func (a Augment) Apply(dst []float32, src []byte, c, h, w int, mean, std []float32, rng *rand.Rand) {
	var dy, dx int
	if a.Shift > 0 {
		dy, dx = rng.IntN(2*a.Shift+1)-a.Shift, rng.IntN(2*a.Shift+1)-a.Shift
	}
	flip := a.Flip && rng.Uint64()&1 == 1
	var angle float64
	scale := 1.0
	if a.Affine > 0 {
		angle, scale = a.Affine*(2*rng.Float64()-1), 1+a.Affine*(2*rng.Float64()-1)
	}
	for ch := range c {
		gain := 1 / (255 * std[ch])
		bias := -mean[ch] / std[ch]
		out, in := dst[ch*h*w:][:h*w], src[ch*h*w:][:h*w]
		if a.Affine > 0 {
			warp(out, in, h, w, dy, dx, flip, angle, scale, gain, bias)
		} else {
			move(out, in, h, w, dy, dx, flip, gain, bias)
		}
	}
	if a.EraseProb > 0 {
		a.erase(dst, c, h, w, mean, std, rng)
	}
}

// move shifts one channel down by dy and right by dx, after mirroring.
func move(dst []float32, src []byte, h, w, dy, dx int, flip bool, gain, bias float32) {
	for y := range h {
		out := dst[y*w:][:w]
		sy := y - dy
		for x := range out {
			sx := x - dx
			v := byte(0)
			if uint(sy) < uint(h) && uint(sx) < uint(w) {
				if flip {
					sx = w - 1 - sx
				}
				v = src[sy*w+sx]
			}
			out[x] = float32(v)*gain + bias
		}
	}
}

// warp mirrors, turns by angle and scales one channel about its centre, and then shifts it. It walks the output and
// asks where each pixel came from.
func warp(dst []float32, src []byte, h, w, dy, dx int, flip bool, angle, scale float64, gain, bias float32) {
	sin, cos := math.Sincos(angle)
	sin, cos = sin/scale, cos/scale
	cy, cx := float64(h-1)/2, float64(w-1)/2
	for y := range h {
		for x := range w {
			oy, ox := float64(y-dy)-cy, float64(x-dx)-cx
			sy, sx := cos*oy-sin*ox+cy, sin*oy+cos*ox+cx
			if flip {
				sx = float64(w-1) - sx
			}
			dst[y*w+x] = bilinear(src, h, w, sy, sx)*gain + bias
		}
	}
}

// bilinear is the picture's value between pixels; outside of it there is black.
func bilinear(src []byte, h, w int, y, x float64) float32 {
	fy, fx := math.Floor(y), math.Floor(x)
	if fy < -1 || fx < -1 || fy >= float64(h) || fx >= float64(w) {
		return 0
	}
	y0, x0 := int(fy), int(fx)
	ty, tx := float32(y-fy), float32(x-fx)
	at := func(y, x int) float32 {
		if uint(y) < uint(h) && uint(x) < uint(w) {
			return float32(src[y*w+x])
		}
		return 0
	}
	top := at(y0, x0)*(1-tx) + at(y0, x0+1)*tx
	bottom := at(y0+1, x0)*(1-tx) + at(y0+1, x0+1)*tx
	return top*(1-ty) + bottom*ty
}
