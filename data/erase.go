package data

import (
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/adavit/adavit/picture"
)

// What an erased rectangle is filled with.
const (
	// EraseBytes is uniform noise: every byte 0 … 255 (variant RE-R of the paper).
	EraseBytes = "byte"
	// ErasePixels is normal noise, mean 0 and deviation 1 after normalising, as timm's mode "pixel".
	ErasePixels = "pixel"
)

// The smallest share and the flattest shape of an erased rectangle, as in the paper; the most rectangles, and how often
// a place is sought for one.
const (
	eraseMin   = 0.02
	eraseShape = 0.3
	maxErase   = 64
	eraseTries = 10
)

// erase replaces rectangles of a normalised picture by noise, the same places in all channels.
func (a Augment) erase(dst []float32, c, h, w int, mean, std []float32, rng *rand.Rand) {
	if a.EraseMode == ErasePixels {
		a.erasePixels(dst, c, h, w, rng)
		return
	}
	luck, share, shape, top, left := rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64(), rng.Float64()
	if luck >= a.EraseProb {
		return
	}
	area := float64(h*w) * (eraseMin + share*(a.EraseMax-eraseMin))
	aspect := math.Exp((2*shape - 1) * math.Log(1/eraseShape)) // height : width
	// A rectangle that would stick out is cut to the side that it fits into.
	eh := min(max(int(math.Round(math.Sqrt(area*aspect))), 1), h)
	ew := min(max(int(math.Round(math.Sqrt(area/aspect))), 1), w)
	box := picture.Part{Top: int(top * float64(h-eh+1)), Left: int(left * float64(w-ew+1)), Height: eh, Width: ew}
	var noise [8]byte
	for ch, at := range boxRows(c, h, w, box) {
		gain := 1 / (255 * std[ch])
		bias := -mean[ch] / std[ch]
		row := dst[at:][:ew]
		for x := range row {
			if x&7 == 0 {
				binary.LittleEndian.PutUint64(noise[:], rng.Uint64())
			}
			row[x] = float32(noise[x&7])*gain + bias
		}
	}
}

// erasePixels is timm's rule: a rectangle that would reach from edge to edge or stick out is drawn anew, and after ten
// attempts left out.
func (a Augment) erasePixels(dst []float32, c, h, w int, rng *rand.Rand) {
	if rng.Float64() >= a.EraseProb {
		return
	}
	count := 1
	if a.EraseCount > 1 {
		count += rng.IntN(a.EraseCount)
	}
	for range count {
		for range eraseTries {
			share, shape := rng.Float64(), rng.Float64()
			eh, ew := eraseSides(h, w, eraseMin+share*(a.EraseMax-eraseMin), shape, count)
			if eh >= h || ew >= w {
				continue
			}
			top := rng.IntN(h - eh + 1)
			box := picture.Part{Top: top, Left: rng.IntN(w - ew + 1), Height: eh, Width: ew}
			for _, at := range boxRows(c, h, w, box) {
				row := dst[at:][:ew]
				for x := range row {
					row[x] = float32(rng.NormFloat64())
				}
			}
			break
		}
	}
}

// eraseSides is the size of one of count rectangles that together take a share of an h×w picture; shape, 0 to 1, goes
// from 3:10 to 10:3 (height : width).
func eraseSides(h, w int, share, shape float64, count int) (height, width int) {
	area := share * float64(h*w) / float64(count)
	aspect := math.Exp((2*shape - 1) * math.Log(1/eraseShape))
	return int(math.RoundToEven(math.Sqrt(area * aspect))), int(math.RoundToEven(math.Sqrt(area / aspect)))
}
