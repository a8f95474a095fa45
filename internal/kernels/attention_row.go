package kernels

import "math"

// AttentionRow writes what one row of an image pays each of its n rows, mean over the heads: dst[j] = 1/heads · Σ_h
// softmax_j(q·kᵀ/√headDim), with qkv as Attention has it, which itself keeps no probabilities. scratch holds n floats.
func AttentionRow(dst, qkv []float32, ldq, n, row, heads, headDim int, scratch []float32) {
	if n <= 0 {
		return
	}
	embed := heads * headDim
	checkMatrix("AttentionRow", "qkv", len(qkv), ldq, n, 3*embed)
	checkLen("AttentionRow", "dst", len(dst), n)
	checkLen("AttentionRow", "scratch", len(scratch), n)
	dst, scores := dst[:n], scratch[:n]
	clear(dst)
	scale := float32(1 / math.Sqrt(float64(headDim)))
	for h := range heads {
		attend(scores, qkv[row*ldq+h*headDim:][:headDim], qkv[embed+h*headDim:], ldq, scale)
		Axpy(dst, 1/float32(heads), scores)
	}
}

// attend writes softmax(scale·q·kᵀ) to p [n] for one head's k [n, headDim].
func attend(p, q, k []float32, ldk int, scale float32) {
	for j := range p {
		p[j] = Dot(q, k[j*ldk:][:len(q)])
	}
	active.softmaxRows(p, nil, len(p), 1, len(p), scale)
}

// AttentionRowBackward adds to dqkv, laid out as qkv, the gradient of AttentionRow's qkv, given d [n], that of what
// it writes. With P one head's probabilities,
//
//	dS = P∘(d − Σ P∘d)/(heads·√headDim),  dq += Σ dS[j]·k[j],  dk[j] += dS[j]·q
func AttentionRowBackward(dqkv, d, qkv []float32, ldq, n, row, heads, headDim int, scratch []float32) {
	if n <= 0 {
		return
	}
	embed := heads * headDim
	checkMatrix("AttentionRowBackward", "dqkv", len(dqkv), ldq, n, 3*embed)
	checkMatrix("AttentionRowBackward", "qkv", len(qkv), ldq, n, 3*embed)
	checkLen("AttentionRowBackward", "d", len(d), n)
	checkLen("AttentionRowBackward", "scratch", len(scratch), n)
	p := scratch[:n]
	root := math.Sqrt(float64(headDim))
	for h := range heads {
		at := h * headDim
		q, k := qkv[row*ldq+at:][:headDim], qkv[embed+at:]
		dq, dk := dqkv[row*ldq+at:][:headDim], dqkv[embed+at:]
		attend(p, q, k, ldq, float32(1/root))
		mean := 0.0
		for j, v := range p {
			mean += float64(v) * float64(d[j])
		}
		for j, v := range p {
			ds := float32(float64(v) * (float64(d[j]) - mean) / (float64(heads) * root))
			Axpy(dq, ds, k[j*ldq:][:headDim])
			Axpy(dk[j*ldq:][:headDim], ds, q)
		}
	}
}

// AttentionReceived writes what each of an image's n rows gets from all of them, mean over rows and heads: dst[j] =
// 1/(n·heads) · Σ_h Σ_i softmax_j((q[i]·kᵀ + bias)/√headDim), with qkv and bias as Attention has them. scratch holds
// AttentionScratch floats.
func AttentionReceived(dst, qkv []float32, ldq, n, heads, headDim int, bias, scratch []float32) {
	if n <= 0 {
		return
	}
	embed := heads * headDim
	checkMatrix("AttentionReceived", "qkv", len(qkv), ldq, n, 3*embed)
	checkLen("AttentionReceived", "dst", len(dst), n)
	checkLen("AttentionReceived", "scratch", len(scratch), AttentionScratch(n, headDim))
	rows, ld := scoreBlock(n)
	scores, scratch := carve(scratch, rows*ld)
	var keys Packed
	keys.Data, _ = carve(scratch, PackedLen(headDim, n))
	scale := float32(1 / math.Sqrt(float64(headDim)))
	clear(dst[:n])
	for h := range heads {
		PackTransposed(&keys, qkv[embed+h*headDim:], ldq, headDim, n)
		for i := 0; i < n; i += rows {
			m := min(rows, n-i)
			GemmPacked(scores, ld, qkv[i*ldq+h*headDim:], ldq, m, &keys, Epilogue{Bias: bias})
			active.softmaxRows(scores, nil, ld, m, n, scale)
			ColumnSums(dst, scores, ld, m, n)
		}
	}
	Scale(dst[:n], 1/float32(n*heads))
}

// MeanKeys writes the keys of the n rows of qkv, mean over the heads, to dst [n, headDim].
func MeanKeys(dst, qkv []float32, ldq, n, heads, headDim int) {
	if n <= 0 {
		return
	}
	embed := heads * headDim
	checkMatrix("MeanKeys", "qkv", len(qkv), ldq, n, 3*embed)
	checkLen("MeanKeys", "dst", len(dst), n*headDim)
	clear(dst[:n*headDim])
	for i := range n {
		for h := range heads {
			Axpy(dst[i*headDim:(i+1)*headDim], 1/float32(heads), qkv[i*ldq+embed+h*headDim:][:headDim])
		}
	}
}
