package halting

import (
	"cmp"
	"math"
	"slices"
)

// mergedNote goes with the schemes that merge tokens.
const mergedNote = "A token that was merged into another counts as halted, though what it held goes on."

// asTheyAre says that no row is merged.
func (r *Rows) asTheyAre() {
	for i := range r.Token {
		r.Into[i], r.Share[i] = int32(i), 1
	}
}

// specials returns how many rows are no patches. They come first.
func (r *Rows) specials() int {
	n := 0
	for n < len(r.Token) && !r.Readouts.Patch(r.Token[n]) {
		n++
	}
	return n
}

// descending sorts places by their values, the largest first, equals by place; what is no number comes last.
func descending(places []int32, value []float32) {
	slices.SortFunc(places, func(a, b int32) int { // cmp's NaN is less than all
		return cmp.Or(cmp.Compare(value[b], value[a]), cmp.Compare(a, b))
	})
}

// matching says which rows may be merged. It lies in the rows' scratch.
type matching struct {
	from       []int32   // rows that may go into another, increasing
	into       []int32   // [n] and that other's row; only those of from mean anything
	similarity []float32 // [n] cosine of the two rows' keys, likewise
	room       []float32 // [n]
}

// match pairs patches as ToMe does: the rows, special ones counted, are dealt alternately to two sets, and each of the
// first looks for the row of the second whose key is most similar; of equals the first.
func (r *Rows) match() matching {
	n, specials, length := len(r.Token), r.specials(), r.KeyLen
	if n-specials < 2 {
		return matching{}
	}
	na, nb := (n+1)/2, n/2
	floats, ints := r.room(n*length+na*nb+2*n, 2*n)
	keys, floats := floats[:n*length], floats[n*length:]
	scores, floats := floats[:na*nb], floats[na*nb:]
	m := matching{from: ints[:0:n], into: ints[n:], similarity: floats[:n], room: floats[n:]}
	// Row i lies at place i/2 of its set: the even rows first, then the odd ones.
	for i := range n {
		normalise(keys[(i%2*na+i/2)*length:][:length], r.Keys[i*length:])
	}
	r.Products(scores, keys, keys[na*length:], na, nb, length)
	for i := (specials + 1) &^ 1; i < n; i += 2 {
		m.similarity[i], m.into[i] = float32(math.Inf(-1)), -1
		for j := specials | 1; j < n; j += 2 {
			if v := scores[i/2*nb+j/2]; v > m.similarity[i] || m.into[i] < 0 {
				m.similarity[i], m.into[i] = v, int32(j)
			}
		}
		if m.into[i] >= 0 {
			m.from = append(m.from, int32(i))
		}
	}
	return m
}

// merge turns the pairs into their means, weighted by how many tokens each row stands for.
func (r *Rows) merge(s *State, m matching) {
	if len(m.from) == 0 {
		return
	}
	own := m.room
	for j := 1; j < len(r.Token); j += 2 {
		own[j] = s.Size[r.Token[j]]
	}
	for _, i := range m.from {
		j := m.into[i]
		r.Into[i] = j
		s.Size[r.Token[j]] += s.Size[r.Token[i]]
		r.Halt(s, int(i))
	}
	for _, i := range m.from {
		r.Share[i] = s.Size[r.Token[i]] / s.Size[r.Token[m.into[i]]]
		r.Weight[i] = 0 // what it held goes on
	}
	for _, i := range m.from {
		s.Size[r.Token[i]] = 0
	}
	for j := 1; j < len(r.Token); j += 2 {
		r.Share[j] = own[j] / s.Size[r.Token[j]] // 1 where nothing came in
	}
}

// normalise writes key divided by its length.
func normalise(dst, key []float32) {
	sum := 0.0
	for _, v := range key[:len(dst)] {
		sum += float64(v) * float64(v)
	}
	f := float32(1 / math.Sqrt(max(sum, 1e-30)))
	for i := range dst {
		dst[i] = key[i] * f
	}
}
