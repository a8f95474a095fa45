package weights

import "math"

// Float16 is an IEEE 754 half-precision number's bits: 1 sign, 5 exponent (bias 15), 10 fraction.
type Float16 uint16

// BFloat16 is the upper half of a float32's bits: 1 sign, 8 exponent, 7 fraction.
type BFloat16 uint16

// ToFloat16 rounds to the nearest half, ties to even. Magnitudes from 65520 up become infinite, those up to 2⁻²⁵ zero;
// NaN stays NaN, with the upper bits of its payload.
func ToFloat16(f float32) Float16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	magnitude := bits & 0x7fffffff
	switch {
	case magnitude > 0x7f800000: // NaN; the quiet bit keeps it one when the payload's upper bits are zero
		return Float16(sign | 0x7e00 | uint16(magnitude>>13&0x3ff))
	case magnitude >= 0x477ff000: // 65520 is half way between the largest half and the next power of two: ties go up
		return Float16(sign | 0x7c00)
	case magnitude >= 0x38800000: // 2⁻¹⁴ and more: a normal half
		// Subtracting moves the exponent's bias from 127 to 15; a carry out of the fraction rightly enters the
		// exponent.
		rebased := magnitude - (127-15)<<23
		return Float16(sign | uint16((rebased+0xfff+rebased>>13&1)>>13))
	}
	// Smaller halves are multiples of 2⁻²⁴, and so are the float32s from ½ to 1: adding ½ rounds.
	sum := math.Float32frombits(magnitude) + 0.5
	return Float16(sign | uint16(math.Float32bits(sum)-math.Float32bits(0.5)))
}

// Float32 returns the number exactly.
func (h Float16) Float32() float32 {
	sign := uint32(h&0x8000) << 16
	exponent := uint32(h >> 10 & 0x1f)
	fraction := uint32(h & 0x3ff)
	switch exponent {
	case 0: // zero and subnormals: fraction·2⁻²⁴, which is a normal float32
		return math.Float32frombits(math.Float32bits(float32(fraction)*0x1p-24) | sign)
	case 0x1f: // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// ToBFloat16 rounds to nearest, ties to even; NaN stays NaN.
func ToBFloat16(f float32) BFloat16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 {
		return BFloat16(bits>>16 | 0x40)
	}
	return BFloat16((bits + 0x7fff + bits>>16&1) >> 16)
}

// Float32 returns the number exactly.
func (b BFloat16) Float32() float32 { return math.Float32frombits(uint32(b) << 16) }
