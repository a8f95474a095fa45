package kernels

import "math"

// FirstNotFinite returns the place of the first NaN or infinity in x, −1 if there is none.
func FirstNotFinite(x []float32) int {
	at := 0
	for ; len(x)-at >= 8; at += 8 {
		v := (*[8]float32)(x[at:])
		a, b := notFinite(v[0])|notFinite(v[1]), notFinite(v[2])|notFinite(v[3])
		c, d := notFinite(v[4])|notFinite(v[5]), notFinite(v[6])|notFinite(v[7])
		if int32(a|b|c|d) < 0 {
			break
		}
	}
	for i, v := range x[at:] {
		if int32(notFinite(v)) < 0 {
			return at + i
		}
	}
	return -1
}

// notFinite has its highest bit set if v is NaN or an infinity: one added to an exponent of all ones carries into it.
func notFinite(v float32) uint32 { return math.Float32bits(v)&absBits + 1<<23 }
