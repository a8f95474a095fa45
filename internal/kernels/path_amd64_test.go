//go:build !purego

package kernels

// The path of AVX-512 also without dot products, that of AVX2 too, if this machine has them.
func init() {
	for _, p := range paths[:len(paths)-1] {
		v := avx2(false)
		if p.name == "avx512" {
			v = avx512(false, false, false)
		}
		v.name += "-nodots"
		variants = append(variants, v)
	}
}
