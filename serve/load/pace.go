package load

import (
	"math"
	"time"
)

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
	fixedGain  = 0.02 // of what the last passes say about fixed
	fixedDecay = 0.98 // of their memory, a pass
	fixedStart = 0.05
	fixedMost  = 0.5
	ridge      = 0.02 // sum of squared differences between shares below which they say little
)

// pace is a running estimate of what passes take: block · (work + fixed · dense) seconds, where work is the predicted
// and dense the dense model's token-blocks, both summed over a pass's images. Since it is learnt for predicted work, it
// takes up what the prediction gets wrong.
type pace struct {
	block  float64    // seconds a token-block; 0: unknown
	fixed  float64    // token-blocks that an image costs besides, as a share of its dense ones
	recent [3]float64 // seconds a token-block of the last passes
	seen   int        // passes
	// A pass has share u and took z in units of block · dense: z = u + fixed if all is right. Sums over pairs of
	// passes, one after the other, say how z changes with u whatever the speed is, which changes more slowly.
	u, z, uu, uz float64
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
	// What NewClass was told counts as one pass. Two stalls in a row lift the estimate by a quarter at most.
	rate = min(rate, 2*p.block)
	p.block += max(paceGain, 1/float64(p.seen+1)) * (rate - p.block)

	u := work / dense
	z := took.Seconds() / (p.block * dense)
	du, dz, was := u-p.u, z-p.z, p.u
	p.u, p.z = u, z
	if was == 0 || math.Abs(dz-du) > (u+p.fixed)/2 {
		return // the first; or a stall, or a new speed
	}
	p.uu = fixedDecay*p.uu + du*du
	p.uz = fixedDecay*p.uz + du*dz
	slope := (p.uz + ridge) / (p.uu + ridge)
	fixed := fixedMost
	if slope > 0 {
		fixed = min(max((u+p.fixed)/slope-u, 0), fixedMost)
	}
	fixed = p.fixed + fixedGain*(fixed-p.fixed)
	p.block *= (u + p.fixed) / (u + fixed) // the same time at this share
	p.fixed = fixed
}

// median returns the middle one.
func median(v [3]float64) float64 { return max(min(v[0], v[1]), min(max(v[0], v[1]), v[2])) }
