package data

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
)

// Augment is the augmentation of a training picture that suits small grey
// ones: move, mirror, turn, erase. Its zero value changes nothing.
type Augment struct {
	// Shift moves the picture by up to so many whole pixels on each axis; what
	// comes in from outside is black (byte 0).
	Shift int `json:"shift"`
	// Flip mirrors left and right with probability ½.
	Flip bool `json:"flip"`
	// Affine turns by up to ±Affine radians and scales by a factor of
	// 1 ± Affine, about the centre, bilinearly. 0 (off) to 1.
	Affine float64 `json:"affine,omitempty"`
	// EraseProb is the probability that a rectangle is replaced by noise (Zhong
	// et al. 2020, "Random Erasing", variant RE-R: every byte uniform in 0 … 255).
	EraseProb float64 `json:"erase_prob"`
	// EraseMax is the largest share of the picture that a rectangle takes; the
	// share is uniform from 0.02 to EraseMax, its shape log-uniform from 3:10 to 10:3.
	EraseMax float64 `json:"erase_max"`
}

// The smallest share and the flattest shape of an erased rectangle, as in the
// paper.
const (
	eraseMin   = 0.02
	eraseShape = 0.3
)

// Validate says which field is out of range.
func (a Augment) Validate() error {
	in := func(v, low, high float64) bool { return v >= low && v <= high } // false for NaN
	switch {
	case a.Shift < 0 || a.Shift > maxSide:
		return fmt.Errorf("augment: shift %d, want 0 or a few pixels", a.Shift)
	case !in(a.Affine, 0, 0.9):
		return fmt.Errorf("augment: affine %v, want 0 to 0.9", a.Affine)
	case !in(a.EraseProb, 0, 1):
		return fmt.Errorf("augment: erase_prob %v, want 0 to 1", a.EraseProb)
	case a.EraseProb > 0 && !in(a.EraseMax, eraseMin, 1), !in(a.EraseMax, 0, 1):
		return fmt.Errorf("augment: erase_max %v, want %v to 1", a.EraseMax, eraseMin)
	}
	return nil
}

// Apply augments src and normalises it to dst, both [c, h, w]:
//
//	dst = (byte/255 − mean[c]) / std[c]
//
// mean and std have c numbers (Preprocessor.MeanStd gives them). All chance
// comes from rng; how many numbers are drawn depends on a alone up to the
// erased rectangle's noise, so one step's luck does not alter another's.
// Nothing is allocated.
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

// warp mirrors, turns by angle and scales one channel about its centre, and
// then shifts it. It walks the output and asks where each pixel came from.
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

// erase replaces a rectangle by noise, the same place in all channels.
func (a Augment) erase(dst []float32, c, h, w int, mean, std []float32, rng *rand.Rand) {
	luck, share, shape, top, left := rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64()
	if luck >= a.EraseProb {
		return
	}
	area := float64(h*w) * (eraseMin + share*(a.EraseMax-eraseMin))
	aspect := math.Exp((2*shape - 1) * math.Log(1/eraseShape)) // height : width
	// A rectangle that would stick out is cut to the side that it fits into.
	eh := min(max(int(math.Round(math.Sqrt(area*aspect))), 1), h)
	ew := min(max(int(math.Round(math.Sqrt(area/aspect))), 1), w)
	y0, x0 := int(top*float64(h-eh+1)), int(left*float64(w-ew+1))
	var noise [8]byte
	for ch := range c {
		gain := 1 / (255 * std[ch])
		bias := -mean[ch] / std[ch]
		for y := y0; y < y0+eh; y++ {
			row := dst[(ch*h+y)*w+x0:][:ew]
			for x := range row {
				if x&7 == 0 {
					binary.LittleEndian.PutUint64(noise[:], rng.Uint64())
				}
				row[x] = float32(noise[x&7])*gain + bias
			}
		}
	}
}
