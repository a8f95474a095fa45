package infer

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
)

// decider transcribes every scheme's rule on tokens that lie at their own places, for the masked forward.
type decider struct {
	p     *vit.Params
	m     *masked
	reads halting.Readouts
	alive []bool
	sum   []float64   // [N] cumulative scores, or lots
	size  []float64   // [N]
	count []float64   // [N] how many times a token counts in the patches' mean
	field [][]float64 // [N][E] mean fields so far
	given []float64   // [N] the weight in them

	attention []float64   // [N] of this block
	received  []float64   // [N]
	keys      [][]float64 // [N]
	weight    []float64   // [N] out: p[k,l]
}

// decide halts tokens after block l (1-based), given the tokens before and after it. It may merge rows of x.
func (d *decider) decide(l int, before, x [][]float64) {
	h, layers, n := d.p.Config.Halting, d.p.Config.Layers, len(x)
	sigmoid := func(gate float64) float64 {
		return 1 / (1 + math.Exp(-(h.Number("gate_scale")*gate - h.Number("gate_center"))))
	}
	special := d.p.Config.Special()
	lead := x[0][0]
	if d.p.Config.NoClassToken {
		lead = 0
		for k := special; k < n; k++ {
			lead += x[k][0] / float64(n-special)
		}
	}
	stays := func(k int) bool { // a register that halts with its image alone
		return k < special && k >= special-d.p.Config.Registers && !h.Switch("registers_halt")
	}
	ended := true // nothing that is read is left
	for f := range d.reads.Fields() {
		ended = ended && !d.alive[d.reads.Place(f)]
	}
	last := l == layers
	score := d.m.score[(l-1)*n : l*n]
	near := func(value, limit float64) { d.m.margin = min(d.m.margin, math.Abs(value-limit)) }
	switch h.Scheme {
	case "token", "sact":
		read := 0 // tokens without a gate
		if exit := h.Number("exit"); exit > 0 {
			read = d.reads.Alone
			if !last && !ended {
				sure := d.sure(x)
				near(sure, exit)
				last = sure >= exit // then the image ends as it would after block L
				for k := range read {
					score[k] = sure
				}
			}
			for k := range read {
				if last && d.alive[k] {
					d.halt(k, l, 1)
				}
			}
		}
		for k := read; k < n; k++ {
			if !d.alive[k] {
				continue
			}
			if stays(k) {
				if last {
					d.halt(k, l, 1)
				}
				continue
			}
			s := sigmoid(x[k][0])
			score[k], d.weight[k] = s, s
			near(d.sum[k]+s, 1-h.Number("epsilon"))
			if last || d.sum[k]+s >= 1-h.Number("epsilon") {
				d.halt(k, l, 1-d.sum[k])
			}
			d.sum[k] += s
		}
	case "act", "ponder":
		if !d.alive[0] {
			return
		}
		s := sigmoid(lead)
		chance := s
		if h.Scheme == "ponder" {
			chance *= 1 - d.sum[0]
		}
		near(d.sum[0]+chance, 1-h.Number("epsilon"))
		stop := last || d.sum[0]+chance >= 1-h.Number("epsilon")
		for k := range n {
			score[k] = s
			switch {
			case h.Scheme == "act" && stop:
				d.halt(k, l, 1-d.sum[0])
			case h.Scheme == "act":
				d.weight[k] = s
			case stop:
				d.halt(k, l, 1)
			}
		}
		d.sum[0] += chance
	case "confidence":
		if !d.alive[0] {
			return
		}
		stop := last
		if !last {
			sure := d.sure(x)
			near(sure, h.Number("threshold"))
			stop = sure >= h.Number("threshold")
			for k := range n {
				score[k] = sure
			}
		}
		for k := range n {
			if stop {
				d.halt(k, l, 1)
			}
		}
	case "similarity":
		for k := range n {
			if !d.alive[k] {
				continue
			}
			if last {
				d.halt(k, l, 1)
				continue
			}
			if stays(k) {
				continue
			}
			score[k] = dotPlain(x[k], before[k]) / math.Sqrt(dotPlain(x[k], x[k])*dotPlain(before[k], before[k]))
			near(score[k], h.Number("threshold"))
			if score[k] >= h.Number("threshold") {
				d.halt(k, l, 1)
			}
		}
	case "random":
		if l == 1 {
			d.draw(before)
		}
		for k := range n {
			switch {
			case !d.alive[k]:
			case last:
				d.halt(k, l, 1)
			default:
				score[k] = d.sum[k]
				if k >= d.p.Config.Special() && d.sum[k] >= math.Pow(1-h.Number("rate"), float64(l)) {
					d.halt(k, l, 1)
				}
			}
		}
	default:
		d.decideCounts(l, x, score)
	}
}

// largestPlain returns the largest of softmax(z).
func largestPlain(z []float64) float64 {
	total := 0.0
	for _, v := range z {
		total += math.Exp(v - slices.Max(z))
	}
	return 1 / total
}

// sure returns how sure the prediction is if the image ends here.
func (d *decider) sure(x [][]float64) float64 {
	now := make([][]float64, len(x))
	for k := range now {
		now[k] = slices.Clone(d.field[k])
		if !d.alive[k] {
			continue
		}
		for j, v := range x[k] {
			now[k][j] += (1 - d.given[k]) * v
		}
	}
	return largestPlain(headsPlain(d.p, now, d.count))
}

// draw makes each patch's lot, from tokens as they go into block 1.
func (d *decider) draw(before [][]float64) {
	hash := fnv.New64a()
	for k := range before {
		for j := max(k-8, 0); j < k; j++ {
			bit := byte(0)
			if before[k][0] > before[j][0] {
				bit = 1
			}
			d.m.margin = min(d.m.margin, math.Abs(before[k][0]-before[j][0]))
			hash.Write([]byte{bit})
		}
	}
	for k := d.p.Config.Special(); k < len(before); k++ {
		bits := rand.NewPCG(hash.Sum64(), uint64(k)).Uint64()
		d.sum[k] = float64(bits>>40) / math.Pow(2, 24)
	}
}

func (d *decider) halt(k, l int, remainder float64) {
	d.weight[k], d.m.depth[k], d.m.rho[k] = remainder, l, float64(l)+remainder
}

// decideCounts is decide for the schemes that compare an image's tokens with each other, and for the dense one.
func (d *decider) decideCounts(l int, x [][]float64, score []float64) {
	h, layers, special := d.p.Config.Halting, d.p.Config.Layers, d.p.Config.Special()
	var alive []int
	for k, a := range d.alive {
		if a {
			alive = append(alive, k)
		}
	}
	if l == layers {
		for _, k := range alive {
			d.halt(k, l, 1)
		}
		return
	}
	switch h.Scheme {
	case "topk":
		at := h.Blocks("layers")
		if at == nil {
			at = []int{layers/4 + 1, layers/4*2 + 1, layers/4*3 + 1}
		}
		if !slices.Contains(at, l) {
			return
		}
		for _, k := range alive {
			score[k] = d.attention[k]
		}
		patches := alive[special:]
		order := slices.Clone(patches)
		sort.SliceStable(order, func(a, b int) bool { return d.attention[order[a]] > d.attention[order[b]] })
		keep := int(math.Ceil(h.Number("keep")*float64(len(patches)) - 1e-9))
		if keep >= len(patches) {
			return
		}
		if keep > 0 {
			d.m.margin = min(d.m.margin, d.attention[order[keep-1]]/d.attention[order[keep]]-1)
		}
		gone := order[keep:]
		if h.Switch("fuse") && len(gone) > 1 { // which of them stays is part of the result
			d.m.margin = min(d.m.margin, d.attention[gone[0]]/d.attention[gone[1]]-1)
		}
		mean, total := make([]float64, len(x[0])), 0.0
		for i, k := range gone {
			for j, v := range x[k] {
				mean[j] += d.attention[k] * v
			}
			total += d.attention[k]
			if i > 0 || !h.Switch("fuse") {
				d.halt(k, l, 1)
			}
			if i > 0 && h.Switch("fuse") {
				d.goesInto(k, gone[0])
			}
		}
		if h.Switch("fuse") {
			for j, v := range mean {
				x[gone[0]][j] = v / total
			}
		}
	case "tome":
		merge := h.Number("merge")
		count := min(int(math.Floor(float64(l)*merge)-math.Floor(float64(l-1)*merge)), (len(alive)-special)/2)
		if count < 1 {
			return
		}
		pairs := d.match(special, alive)
		sort.SliceStable(pairs, func(a, b int) bool { return pairs[a].cos > pairs[b].cos })
		if count < len(pairs) {
			d.m.margin = min(d.m.margin, pairs[count-1].cos-pairs[count].cos)
		}
		for _, q := range pairs[:min(count, len(pairs))] {
			score[q.from] = q.cos
			d.merge(q, l, x)
		}
	case "ltmp":
		near := func(value, limit float64) { d.m.margin = min(d.m.margin, math.Abs(value-limit)) }
		for _, k := range alive {
			score[k] = d.received[k] * float64(len(x))
		}
		for _, q := range d.match(special, alive) {
			near(q.cos, h.Number("similarity"))
			if q.cos > h.Number("similarity") {
				score[q.to] = max(score[q.to], score[q.from])
				d.merge(q, l, x)
			}
		}
		for _, k := range alive[special:] {
			near(score[k], h.Number("importance"))
			if d.m.depth[k] == 0 && score[k] < h.Number("importance") {
				d.halt(k, l, 1)
			}
		}
	}
}

type pair struct {
	from, to int
	cos      float64
}

// match is ToMe's bipartite matching, each set a list and each pair's similarity computed by itself.
func (d *decider) match(special int, alive []int) (pairs []pair) {
	for i := 0; i < len(alive); i += 2 {
		best, second := pair{cos: math.Inf(-1)}, math.Inf(-1)
		for j := 1; j < len(alive); j += 2 {
			a, b := alive[i], alive[j]
			if a < special || b < special {
				continue
			}
			ka, kb := d.keys[a], d.keys[b]
			cos := dotPlain(ka, kb) / math.Sqrt(dotPlain(ka, ka)*dotPlain(kb, kb))
			if cos > best.cos {
				second = best.cos
				best = pair{a, b, cos}
			} else {
				second = max(second, cos)
			}
		}
		if !math.IsInf(best.cos, -1) {
			pairs = append(pairs, best)
			d.m.margin = min(d.m.margin, best.cos-second)
		}
	}
	return pairs
}

// merge merges one pair. One after the other: a mean of means, weighted by sizes, is the mean of all.
func (d *decider) merge(q pair, l int, x [][]float64) {
	a, b := d.size[q.from], d.size[q.to]
	for j := range x[q.to] {
		x[q.to][j] = (a*x[q.from][j] + b*x[q.to][j]) / (a + b)
	}
	d.size[q.to] = a + b
	d.halt(q.from, l, 1)
	d.goesInto(q.from, q.to)
}

// goesInto counts a merged token where it went.
func (d *decider) goesInto(from, to int) {
	d.count[to] += d.count[from]
	d.count[from], d.weight[from] = 0, 0
}
