package report

import (
	"image/color"
	"math"
)

// viridis holds nine points of the viridis scale (S. van der Walt and N. Smith,
// public domain), evenly spaced. Its lightness rises evenly from end to end, so
// depths keep their order in grey print and for colour-blind readers.
var viridis = [...]color.RGBA{
	{0x44, 0x01, 0x54, 255}, {0x47, 0x2d, 0x7b, 255}, {0x3b, 0x52, 0x8b, 255},
	{0x2c, 0x72, 0x8e, 255}, {0x21, 0x91, 0x8c, 255}, {0x28, 0xae, 0x80, 255},
	{0x5e, 0xc9, 0x62, 255}, {0xad, 0xdc, 0x30, 255}, {0xfd, 0xe7, 0x25, 255},
}

// goneRGB covers a token that no longer runs: grey with a tint of blue, so that it
// differs from the greys of an image without colour.
var goneRGB = color.RGBA{0xa9, 0xb9, 0xd4, 255}

// ScaleColor returns the colour of t in [0, 1] on the scale from dark violet (0)
// to yellow (1). Values outside are clamped; NaN gives grey.
func ScaleColor(t float64) color.RGBA {
	if math.IsNaN(t) {
		return goneRGB
	}
	t = min(max(t, 0), 1) * float64(len(viridis)-1)
	i := min(int(t), len(viridis)-2)
	f := t - float64(i)
	// Between two neighbours the mix is made in Oklab, where equal steps look equal.
	a, b := toOklab(viridis[i]), toOklab(viridis[i+1])
	return a.mix(b, f).rgb()
}

// DepthColor returns the colour of a token that ran in depth of the given number
// of blocks: 1 is the scale's dark end, layers its bright end, 0 (never ran) grey.
func DepthColor(depth, layers int) color.RGBA {
	if depth <= 0 {
		return goneRGB
	}
	if layers <= 1 {
		return ScaleColor(1)
	}
	return ScaleColor(float64(depth-1) / float64(layers-1))
}

// oklab is a colour in B. Ottosson's Oklab space (2020): lightness and two
// opponent axes.
type oklab struct{ L, A, B float64 }

func (p oklab) mix(q oklab, t float64) oklab {
	return oklab{p.L + t*(q.L-p.L), p.A + t*(q.A-p.A), p.B + t*(q.B-p.B)}
}

func toOklab(c color.RGBA) oklab {
	r, g, b := linear(c.R), linear(c.G), linear(c.B)
	l := math.Cbrt(0.4122214708*r + 0.5363325363*g + 0.0514459929*b)
	m := math.Cbrt(0.2119034982*r + 0.6806995451*g + 0.1073969566*b)
	s := math.Cbrt(0.0883024619*r + 0.2817188376*g + 0.6299787005*b)
	return oklab{
		0.2104542553*l + 0.7936177850*m - 0.0040720468*s,
		1.9779984951*l - 2.4285922050*m + 0.4505937099*s,
		0.0259040371*l + 0.7827717662*m - 0.8086757660*s,
	}
}

func (p oklab) rgb() color.RGBA {
	l := p.L + 0.3963377774*p.A + 0.2158037573*p.B
	m := p.L - 0.1055613458*p.A - 0.0638541728*p.B
	s := p.L - 0.0894841775*p.A - 1.2914855480*p.B
	l, m, s = l*l*l, m*m*m, s*s*s
	return color.RGBA{
		encode(4.0767416621*l - 3.3077115913*m + 0.2309699292*s),
		encode(-1.2684380046*l + 2.6097574011*m - 0.3413193965*s),
		encode(-0.0041960863*l - 0.7034186147*m + 1.7076147010*s),
		255,
	}
}

// linear undoes the sRGB transfer curve: a byte to linear light in [0, 1].
func linear(v uint8) float64 {
	x := float64(v) / 255
	if x <= 0.04045 {
		return x / 12.92
	}
	return math.Pow((x+0.055)/1.055, 2.4)
}

// encode applies the sRGB transfer curve and rounds to a byte.
func encode(x float64) uint8 {
	x = min(max(x, 0), 1)
	if x <= 0.0031308 {
		x *= 12.92
	} else {
		x = 1.055*math.Pow(x, 1/2.4) - 0.055
	}
	return uint8(math.Round(255 * x))
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
