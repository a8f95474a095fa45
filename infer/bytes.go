package infer

// Bytes returns the memory that the engine holds: the packed weights, which forks share, and what its workers have grown to.
func (e *Engine) Bytes() int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.weights.bytes()
	for _, w := range e.workers {
		n += w.bytes()
	}
	return n
}

func (l *linear) bytes() int64 {
	return 4*int64(cap(l.f32.Data)+cap(l.bias)+cap(l.int8.Scale)+cap(l.int8.Offset)) + 2*int64(cap(l.bf16.Data)) + int64(cap(l.int8.Data))
}

func (n *norm) bytes() int64 { return 4 * int64(cap(n.gamma)+cap(n.beta)) }

func (p *packed) bytes() int64 {
	n := 4*int64(cap(p.special)+cap(p.position)) + p.patch.bytes() + p.norm.bytes()
	for i := range p.heads {
		n += p.heads[i].bytes()
	}
	for i := range p.blocks {
		b := &p.blocks[i]
		for _, l := range []*linear{&b.qkv, &b.query, &b.keyValue, &b.proj.linear, &b.fc1, &b.fc2.linear} {
			n += l.bytes()
		}
		n += b.norm1.bytes() + b.norm2.bytes() + 4*int64(cap(b.proj.gate)+cap(b.fc2.gate))
	}
	return n
}

func (o *operand) bytes() int64 {
	return 2*int64(cap(o.bf16)) + int64(cap(o.int8)) + 4*int64(cap(o.scale))
}

func (w *worker) bytes() int64 {
	floats := cap(w.x) + cap(w.y) + cap(w.qkv) + cap(w.hidden) + cap(w.scratch) + cap(w.scores) + cap(w.weights) + cap(w.field) +
		cap(w.readout) + cap(w.readoutY) + cap(w.logits) + cap(w.readoutWeight) + cap(w.token)
	n := 4 * int64(floats)
	for i := range w.states {
		n += w.states[i].Bytes()
	}
	return n + w.sight.bytes() + w.ice.bytes() + w.rounded.bytes() + w.roundedH.bytes()
}
