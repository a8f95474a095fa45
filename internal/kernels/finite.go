package kernels

import (
	"encoding/binary"
	"math"
)

// FirstNotFinite returns the place of the first NaN or infinity in x, −1 if there is none.
func FirstNotFinite(x []float32) int {
	// No squares of finite numbers add up to more than a float64 can hold.
	if s := SumSquares(x); s-s == 0 {
		return -1
	}
	at, b := 0, as[uint8](x)
	for ; len(b) >= 32; b = b[32:] {
		two := func(i int) uint64 { return notFinite(binary.NativeEndian.Uint64(b[8*i:])) }
		if (two(0)|two(1)|two(2)|two(3))&(1<<63|1<<31) != 0 {
			break
		}
		at += 8
	}
	for i, v := range x[at:] {
		if int32(notFinite(uint64(math.Float32bits(v)))) < 0 {
			return at + i
		}
	}
	return -1
}

// notFinite has the highest bit of each half set that is NaN or an infinity, of two numbers' bits: one added to an
// exponent of all ones carries into it.
func notFinite(two uint64) uint64 { return two&(absBits<<32|absBits) + (1<<55 | 1<<23) }
