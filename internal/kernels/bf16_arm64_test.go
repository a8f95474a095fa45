//go:build !purego

package kernels

import (
	"math/rand/v2"
	"testing"
)

// TestMatricesBF16 demands the bits of dot products from matrix products, with steps side by side and apart: which of
// them computes a row depends on how many come with it.
func TestMatricesBF16(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		if !active.bf16Dots {
			t.Skip("no products of bfloat16s")
		}
		matrices, dots := active, *active
		dots.gemmBF16 = gemmBF16Dots
		rng := rand.New(rand.NewPCG(27, 1))
		for _, k := range []int{1, 2, 3, 4, 6, 8, 15, 130, 257, 600} {
			for _, m := range []int{8, 9, 11, 32, 45, 401} {
				const n = 37
				x, w, c := randomMatrix(rng, m, k, k+3), randomMatrix(rng, n, k, k+5), randomMatrix(rng, m, n, n+7)
				rows, columns := randomMatrix(rng, k, m, m+1), randomMatrix(rng, k, n, n+1)
				a, bias := rounded(x), normal(rng, n)
				var b, left, right PackedBF16
				PackBF16(&b, w.data, w.ld, k, n)
				PackRowsBF16(&left, rows.data, rows.ld, k, m)
				PackRowsBF16(&right, columns.data, columns.ld, k, n)
				products := func(p *path) (plain, transposed matrix) {
					active = p
					plain, transposed = c.clone(), c.clone()
					GemmBF16(plain.data, plain.ld, a.data, a.ld, m, &b, Epilogue{Bias: bias, Add: true})
					GemmTNBF16(transposed.data, transposed.ld, &left, &right, true)
					return plain, transposed
				}
				got, gotTN := products(matrices)
				want, wantTN := products(&dots)
				sameBits(t, "GemmBF16 by matrices and by dots", got, want)
				sameBits(t, "GemmTNBF16 by matrices and by dots", gotTN, wantTN)
			}
		}
	})
}
