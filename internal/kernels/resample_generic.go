package kernels

import "encoding/binary"

// resampleGeneric sums eight columns at a time, which stay in registers.
func resampleGeneric(dst, src []byte, ld, n int, first, weights []int32, taps int) {
	const half = 1 << (WeightBits - 1)
	for i, f := range first {
		w, out := weights[i*taps:][:taps], dst[i*n:][:n]
		for k := 0; k < n; k += 8 {
			var s0, s1, s2, s3, s4, s5, s6, s7 int32 = half, half, half, half, half, half, half, half
			at := int(f)*ld + k
			for _, w := range w {
				v := (*[8]byte)(src[at:])
				s0 += int32(v[0]) * w
				s1 += int32(v[1]) * w
				s2 += int32(v[2]) * w
				s3 += int32(v[3]) * w
				s4 += int32(v[4]) * w
				s5 += int32(v[5]) * w
				s6 += int32(v[6]) * w
				s7 += int32(v[7]) * w
				at += ld
			}
			o := (*[8]byte)(out[k:])
			o[0], o[1], o[2], o[3] = clipByte(s0), clipByte(s1), clipByte(s2), clipByte(s3)
			o[4], o[5], o[6], o[7] = clipByte(s4), clipByte(s5), clipByte(s6), clipByte(s7)
		}
	}
}

// clipByte is the byte of a fixed-point sum.
func clipByte(v int32) byte { return byte(min(max(v>>WeightBits, 0), 255)) }

// transposeBytesGeneric works on squares of eight bytes, whose rows are numbers of 64 bits.
func transposeBytesGeneric(dst, src []byte, ldd, lds, n int) {
	for i := 0; i < 16; i += 8 {
		for k := 0; k < n; k += 8 {
			row := func(j int) uint64 { return binary.LittleEndian.Uint64(src[(i+j)*lds+k:]) }
			// Quarters of the square that lie across from each other change places, then quarters of those, then bytes.
			r0, r4 := exchange(row(0), row(4), 32, 0x00000000ffffffff)
			r1, r5 := exchange(row(1), row(5), 32, 0x00000000ffffffff)
			r2, r6 := exchange(row(2), row(6), 32, 0x00000000ffffffff)
			r3, r7 := exchange(row(3), row(7), 32, 0x00000000ffffffff)
			r0, r2 = exchange(r0, r2, 16, 0x0000ffff0000ffff)
			r1, r3 = exchange(r1, r3, 16, 0x0000ffff0000ffff)
			r4, r6 = exchange(r4, r6, 16, 0x0000ffff0000ffff)
			r5, r7 = exchange(r5, r7, 16, 0x0000ffff0000ffff)
			r0, r1 = exchange(r0, r1, 8, 0x00ff00ff00ff00ff)
			r2, r3 = exchange(r2, r3, 8, 0x00ff00ff00ff00ff)
			r4, r5 = exchange(r4, r5, 8, 0x00ff00ff00ff00ff)
			r6, r7 = exchange(r6, r7, 8, 0x00ff00ff00ff00ff)
			for j, v := range [...]uint64{r0, r1, r2, r3, r4, r5, r6, r7} {
				binary.LittleEndian.PutUint64(dst[(k+j)*ldd+i:], v)
			}
		}
	}
}

// exchange swaps the bits of a that are shift above the mask with the bits of b at the mask.
func exchange(a, b uint64, shift uint, mask uint64) (uint64, uint64) {
	t := (a>>shift ^ b) & mask
	return a ^ t<<shift, b ^ t
}
