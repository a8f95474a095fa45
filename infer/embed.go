package infer

// embed fills w.x with the tokens of the images first..first+g−1 of the batch as block 1 takes them, and puts every image into a slot:
//
//	special row k  special token k + position[k], k = 0..S−1
//	patch row k    W·pixels + b + position[k], k = S..start−1
//
// The special rows go through the patch GEMM too, as zeros, so that one GEMM serves all images of the pass; they are written afterwards.
func (w *worker) embed(first, g int) {
	c, start := &w.engine.config, w.engine.start
	w.slots = w.slots[:0]
	for i := range g {
		w.states[i].Reset(c.Tokens())
		w.slots = append(w.slots, slot{i, i * start, start})
		if w.team.members == nil {
			w.tokensOf(first, i, 0, start)
		}
	}
	if w.team.members != nil { // of one image
		w.team.first = first
		w.share(stageEmbed, nil, start)
		return
	}
	w.engine.weights.patch.add(w.x, c.Embed, operand{f32: w.hidden, stride: c.PatchLen()}, g*start)
	for i := range g {
		copy(w.x[i*start*c.Embed:], w.engine.weights.special)
	}
}

// tokensOf prepares the tokens lo … hi−1 of image i of the pass for the patch GEMM: positions in x, pixels in hidden.
func (w *worker) tokensOf(first, i, lo, hi int) {
	c, start := &w.engine.config, w.engine.start
	e, pixels, size := c.Embed, c.PatchLen(), c.Channels*c.Height*c.Width
	at := i * start
	for k := lo; k < hi; k++ {
		w.token[at+k] = int32(k)
	}
	copy(w.x[(at+lo)*e:], w.engine.weights.position[lo*e:hi*e])
	rows := w.hidden[(at+lo)*pixels : (at+hi)*pixels]
	if special := min(max(c.Special()-lo, 0), hi-lo); special > 0 {
		clear(rows[:special*pixels])
		rows, lo = rows[special*pixels:], lo+special
	}
	c.CutPatchesFrom(lo-c.Special(), rows, w.engine.job.images[(first+i)*size:(first+i+1)*size])
}

// embedPart makes the tokens lo … hi−1 of the one image that a team works on.
func (w *worker) embedPart(lo, hi int) {
	e, pixels := w.engine.config.Embed, w.engine.config.PatchLen()
	w.tokensOf(w.team.first, 0, lo, hi)
	w.engine.weights.patch.add(w.x[lo*e:], e, operand{f32: w.hidden[lo*pixels:], stride: pixels}, hi-lo)
	if special := w.engine.weights.special; lo*e < len(special) {
		copy(w.x[lo*e:hi*e], special[lo*e:])
	}
}
