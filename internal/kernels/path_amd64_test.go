//go:build !purego

package kernels

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The path of AVX-512 also without dot products, if this machine has it.
func init() {
	if paths[0].name == "avx512" {
		v := avx512(avx2(), false, false)
		v.name += "-nodots"
		variants = append(variants, v)
	}
}

// TestSameBitsVNNI demands the same bits of products of bytes and of words with the machine's dot products and without.
func TestSameBitsVNNI(t *testing.T) {
	if !slices.Contains(Paths(), "avxvnni") {
		t.Skip("no AVX-VNNI here")
	}
	defer func(old *path) { active = old }(active)
	rng := rand.New(rand.NewPCG(6, 27))
	const m, k, n, heads, headDim, embed = 197, 192, 72, 3, 64, 192
	b, x, qkv := randomPackedInt8(rng, k, n), quantize(normal(rng, m*k), k, m, k), normal(rng, m*3*embed)
	scratch := make([]float32, AttentionReducedScratch(m, headDim))
	var c, out [2][]float32
	for i, p := range []*path{avx2(), avxVNNI()} {
		active = p
		c[i], out[i] = make([]float32, m*n), make([]float32, m*embed)
		GemmInt8(c[i], n, x.q, x.ld, x.scale, m, b, Epilogue{GELU: true})
		Attention(out[i], embed, qkv, 3*embed, m, heads, headDim, Queries{Count: m, Reduced: true}, scratch)
	}
	if !slices.Equal(c[0], c[1]) || !slices.Equal(out[0], out[1]) {
		t.Error("the bits differ")
	}
}

// TestSameBitsInt8Attention demands the same bits of attention in 8 bits with vectors of 256 bits and of 512.
func TestSameBitsInt8Attention(t *testing.T) {
	if !slices.Contains(Paths(), "avxvnni") || !paths[0].int8Attention || paths[0].name != "avx512" {
		t.Skip("not both kinds of dot products here")
	}
	defer func(old *path) { active = old }(active)
	rng := rand.New(rand.NewPCG(6, 31))
	const heads, headDim, embed = 3, 48, 144
	for _, n := range []int{1, 31, 64, 197} {
		qkv, scratch := normal(rng, n*3*embed), make([]float32, AttentionReducedScratch(n, headDim))
		var out [2][]float32
		for i, p := range []*path{avxVNNI(), paths[0]} {
			active = p
			out[i] = make([]float32, n*embed)
			q := Queries{Count: n, Reduced: true, Int8: true}
			Attention(out[i], embed, qkv, 3*embed, n, heads, headDim, q, scratch)
		}
		if !slices.Equal(out[0], out[1]) {
			t.Errorf("%d tokens: the bits differ", n)
		}
	}
}
