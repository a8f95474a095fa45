package report

import (
	"fmt"
	"image/color"
	"math"
)

// viridis holds 17 of the 256 colours of the viridis scale (S. van der Walt and N. Smith, CC0), evenly
// spaced; mixed evenly between neighbours they are off by 6 of 255 at most. Its lightness rises evenly from
// end to end, so depths keep their order in grey print and for colour-blind readers.
var viridis = [...]uint32{
	0x440154, 0x48186a, 0x472d7b, 0x424086, 0x3b528b, 0x33638d, 0x2c728e, 0x26828e, 0x21908c,
	0x1f9f88, 0x27ad81, 0x3ebc74, 0x5cc863, 0x82d34d, 0xaadc32, 0xd5e21a, 0xfde725,
}

// goneRGB covers a token that no longer runs: a bluish grey, unlike the greys of an image without colour.
var goneRGB = rgb(0xa9b9d4)

func rgb(v uint32) color.RGBA { return color.RGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255} }

// scaleColor is the colour of t on the scale from dark violet (0) to yellow (1), clamped to it; grey for NaN.
func scaleColor(t float64) color.RGBA {
	if math.IsNaN(t) {
		return goneRGB
	}
	t = min(max(t, 0), 1) * float64(len(viridis)-1)
	i := min(int(t), len(viridis)-2)
	return blend(rgb(viridis[i]), rgb(viridis[i+1]), int(math.Round(256*(t-float64(i)))))
}

// depthColor returns the colour of a depth, which may be a mean, of so many blocks: 1 is the scale's dark
// end, layers its bright end, 0 (never ran) grey.
func depthColor(depth float64, layers int) color.RGBA {
	switch {
	case depth <= 0:
		return goneRGB
	case layers <= 1:
		return scaleColor(1)
	}
	return scaleColor((depth - 1) / float64(layers-1))
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

// inkOn returns black or white, whichever is easier to read on c.
func inkOn(c color.RGBA) color.RGBA {
	if luma(c) < 130 {
		return rgb(0xffffff)
	}
	return rgb(0)
}

// luma is the brightness of a colour as Rec. 601 weighs it, 0..255.
func luma(c color.RGBA) int {
	return (299*int(c.R) + 587*int(c.G) + 114*int(c.B) + 500) / 1000
}

// blend mixes a and b: share of b in 1/256.
func blend(a, b color.RGBA, share int) color.RGBA {
	mix := func(x, y uint8) uint8 { return uint8((int(x)*(256-share) + int(y)*share + 128) >> 8) }
	return color.RGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 255}
}
