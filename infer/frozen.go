package infer

// Where the scheme freezes halted tokens (halting.Needs.Frozen), they stay in x behind all rows that are computed: first the active rows of all images,
// then the frozen ones of all images. A block makes queries, projections and the MLP for the active rows, and keys and values for all. An image's rows are
// then in two places, so for attention they are gathered, the active ones first; where a pass has one image, and so in a team, they lie that way.

// span is a range of rows.
type span struct{ first, rows int }

// ice is the memory of a worker whose scheme freezes tokens.
type ice struct {
	spans  []span    // [G] each image's frozen rows in x
	rows   int       // of all of them
	next   []float32 // [T, E] x of the next block
	token  []int32   // [T] places of its active rows
	slots  []slot    // the block's own, while the next one's are made
	gather []float32 // [N, 3E] one image's queries, keys and values
}

// growIce makes room for g images.
func (w *worker) growIce(g int) {
	if !w.engine.freezes {
		return
	}
	n, e := w.engine.start, w.engine.config.Embed
	w.ice = ice{spans: make([]span, g), next: make([]float32, g*n*e), token: make([]int32, g*n), slots: make([]slot, 0, g), gather: make([]float32, n*3*e)}
}

// thaw begins a pass of g images without frozen rows.
func (w *worker) thaw(g int) {
	if w.engine.freezes {
		clear(w.ice.spans[:g])
		w.ice.rows = 0
	}
}

// attendFrozen is attend where rows may be frozen: they give keys and values only.
func (w *worker) attendFrozen(b *block) {
	e, t := w.engine.config.Embed, w.rows()
	all := t + w.ice.rows
	x := w.rounded.ofNorm(&b.norm1, w.y, w.x, all)
	w.spentOn(Norm)
	w.project(b, w.qkv, x, all, t)
	w.spentOn(QKV)
	for _, s := range w.slots {
		qkv, n := w.keysOf(s)
		w.attention(0, nil, w.y[s.first*e:], qkv, n, s.rows, w.scratch)
	}
	w.spentOn(Attention)
	b.proj.addAll(w.x, e, w.y, e, t, w.rounded)
	w.spentOn(Proj)
}

// project writes q, k and v of rows x to qkv [rows, 3E]; of those behind the first `asking`, if any are, k and v alone.
func (w *worker) project(b *block, qkv []float32, x operand, rows, asking int) {
	e := w.engine.config.Embed
	if !w.engine.freezes {
		b.qkv.to(qkv, 3*e, x, rows)
		return
	}
	if asking > 0 {
		b.query.to(qkv, 3*e, x, asking)
	}
	b.keyValue.to(qkv[e:], 3*e, x, rows)
}

// keysOf returns the n rows of queries, keys and values that belong to slot s, frozen ones last; these have no queries.
func (w *worker) keysOf(s slot) (qkv []float32, n int) {
	e := w.engine.config.Embed
	qkv = w.qkv[s.first*3*e:]
	if !w.engine.freezes || w.ice.spans[s.image].rows == 0 {
		return qkv, s.rows
	}
	f, g := w.ice.spans[s.image], w.ice.gather
	if f.first == s.first+s.rows {
		return qkv, s.rows + f.rows
	}
	n = copy(g, qkv[:s.rows*3*e]) / (3 * e)
	copy(g[n*3*e:], w.qkv[f.first*3*e:(f.first+f.rows)*3*e])
	return g, n + f.rows
}

// stepFrozen is step where halted tokens freeze.
func (w *worker) stepFrozen(first, l int) {
	e, ice := w.engine.config.Embed, &w.ice
	halted := false
	for _, s := range w.slots {
		w.ran(first, l, s)
		token := w.token[s.first : s.first+s.rows]
		w.score(first, l, s, token, w.x[s.first*e:])
		for _, k := range token {
			halted = halted || w.states[s.image].Depth[k] != 0
		}
	}
	if !halted {
		return
	}
	ice.slots = append(ice.slots[:0], w.slots...)
	w.slots = w.slots[:0]
	at := 0
	take := func(r int) { // row r of x goes on at row `at`
		copy(ice.next[at*e:(at+1)*e], w.x[r*e:(r+1)*e])
		at++
	}
	for i, s := range ice.slots {
		depth, begin := w.states[s.image].Depth, at
		if !w.read(s.image) || w.engine.options.Full {
			for r := s.first; r < s.first+s.rows; r++ {
				if k := w.token[r]; depth[k] == 0 {
					ice.token[at] = k
					take(r)
				}
			}
		}
		if at > begin {
			w.slots = append(w.slots, slot{s.image, begin, at - begin})
		} else {
			ice.slots[i].rows = 0 // the image is finished, nobody asks for its frozen rows
		}
	}
	active := at
	for _, s := range ice.slots {
		if s.rows == 0 {
			continue
		}
		depth, begin, old := w.states[s.image].Depth, at, ice.spans[s.image]
		for r := old.first; r < old.first+old.rows; r++ {
			take(r)
		}
		for r := s.first; r < s.first+s.rows; r++ {
			if depth[w.token[r]] != 0 {
				take(r)
			}
		}
		ice.spans[s.image] = span{begin, at - begin}
	}
	ice.rows = at - active
	w.x, ice.next = ice.next, w.x
	w.token, ice.token = ice.token, w.token
}

func (i *ice) bytes() int64 {
	return 4*int64(cap(i.next)+cap(i.token)+cap(i.gather)) + 16*int64(cap(i.spans)) + 24*int64(cap(i.slots))
}
