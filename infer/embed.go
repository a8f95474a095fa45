package infer

// embed fills w.x with the tokens of the images first..first+g−1 of the batch as block 1 takes them, and puts every image into a slot:
//
//	special row k  special token k + position[k], k = 0..S−1
//	patch row k    W·pixels + b + position[k], k = S..start−1
//
// The special rows go through the patch GEMM too, as zeros, so that one GEMM serves all images of the pass; they are written afterwards.
func (w *worker) embed(first, g int) {
	c, p, start := &w.engine.config, w.engine.weights, w.engine.start
	e, pixels, size := c.Embed, c.PatchLen(), c.Channels*c.Height*c.Width
	w.slots = w.slots[:0]
	for i := range g {
		w.states[i].Reset(c.Tokens())
		at := i * start
		w.slots = append(w.slots, slot{i, at, start})
		for k := range start {
			w.token[at+k] = int32(k)
		}
		copy(w.x[at*e:], p.position[:start*e])
		rows := w.hidden[at*pixels : (at+start)*pixels]
		clear(rows[:c.Special()*pixels])
		c.CutPatches(rows[c.Special()*pixels:], w.engine.job.images[(first+i)*size:(first+i+1)*size])
	}
	if w.team.members != nil {
		w.share(stageEmbed, nil, g*start)
	} else {
		w.embedRows(0, g*start)
	}
	for i := range g {
		copy(w.x[i*start*e:], p.special)
	}
}

// embedRows adds the patch embedding to the rows lo … hi−1 of x.
func (w *worker) embedRows(lo, hi int) {
	e, pixels := w.engine.config.Embed, w.engine.config.PatchLen()
	w.engine.weights.patch.add(w.x[lo*e:], e, operand{f32: w.hidden[lo*pixels:], stride: pixels}, hi-lo)
}
