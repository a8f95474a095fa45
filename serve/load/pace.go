package load

import "time"

// Class is a kind of work whose speed is estimated by itself: a model at its precision. It belongs to the Controller
// that made it and is safe for concurrent use as that is.
type Class struct {
	pass   int  // images in a pass at most
	own    pace // of a worker's pass
	shared pace // of a pass whose images all workers share
}

// What the estimate remembers. A median of three passes lets no single stall through, and follows a change of speed
// from the second pass on.
const (
	paceGain   = 0.25 // weight of a new median, once there were four
	fixedGain  = 0.02 // of the regression's answer
	fixedDecay = 0.98 // of the regression's memory, a pass
	fixedStart = 0.05
	fixedMost  = 0.5
	ridge      = 4e-4 // variance of shares below which a regression on them says little
)

// pace is a running estimate of what passes take: block · (work + fixed · dense) seconds, where work is the predicted
// and dense the dense model's token-blocks, both summed over a pass's images. Since it is learnt for predicted work, it
// takes up what the prediction gets wrong.
type pace struct {
	block  float64    // seconds a token-block; 0: unknown
	fixed  float64    // token-blocks that an image costs besides, as a share of its dense ones
	recent [3]float64 // seconds a token-block of the last passes
	seen   int        // passes
	// Moments of the passes' shares u and their times z in units of block · dense: z = u + fixed if all is right.
	n, u, z, uu, uz float64
}

// seconds says what an image takes.
func (p *pace) seconds(dense, share float64) float64 { return p.block * dense * (share + p.fixed) }

// observe learns from a pass. Sums that are not positive say nothing.
func (p *pace) observe(took time.Duration, work, dense float64) {
	if took <= 0 || !(work > 0) || !(dense > 0) {
		return
	}
	rate := took.Seconds() / (work + p.fixed*dense)
	p.recent[p.seen%3] = rate
	p.seen++
	if p.seen >= 3 {
		rate = median(p.recent)
	}
	if p.block == 0 {
		p.block = rate
	}
	// What New was told counts as one pass.
	p.block += max(paceGain, 1/float64(p.seen+1)) * (rate - p.block)

	u := work / dense
	z := took.Seconds() / (p.block * dense)
	if z > 3*(u+p.fixed) {
		return // a stall
	}
	for _, m := range []*float64{&p.n, &p.u, &p.z, &p.uu, &p.uz} {
		*m *= fixedDecay
	}
	p.n, p.u, p.z, p.uu, p.uz = p.n+1, p.u+u, p.z+z, p.uu+u*u, p.uz+u*z
	mean, level := p.u/p.n, p.z/p.n
	slope := (p.uz/p.n - mean*level + ridge) / (p.uu/p.n - mean*mean + ridge)
	if slope <= 0 {
		return
	}
	fixed := p.fixed + fixedGain*(min(max(level/slope-mean, 0), fixedMost)-p.fixed)
	p.block *= (mean + p.fixed) / (mean + fixed) // the same time at the shares of late
	p.fixed = fixed
}

// median returns the middle one.
func median(v [3]float64) float64 { return max(min(v[0], v[1]), min(max(v[0], v[1]), v[2])) }
