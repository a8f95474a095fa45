package infer

import "github.com/adavit/adavit/halting"

// How many rows the first block of a pass should have when the engine chooses. A GEMM needs rows enough to hide the streaming of its weights,
// and few enough that activations stay in the cache. Where tokens halt, late blocks have a fraction of the first block's rows, so more images
// share a pass.
const (
	denseRows    = 256
	adaptiveRows = 1024
)

// groupLimit returns the most images that a pass should hold when each starts with the given number of tokens.
func groupLimit(tokens int, s halting.Scheme) int {
	rows := adaptiveRows
	if _, dense := s.(halting.None); dense {
		rows = denseRows
	}
	return max(rows/tokens, 1)
}

// plan cuts a batch into passes of whole images.
type plan struct{ images, passes, group int }

// newPlan cuts b images into passes. A group that the user asked for is kept to, the last pass takes the rest. Otherwise passes are as equal as
// can be, at most limit images each, and a multiple of the number of threads where there are images enough, so that no thread idles.
func newPlan(b, group, limit, threads int) plan {
	if group > 0 {
		return plan{b, (b-1)/group + 1, group}
	}
	passes := (b-1)/limit + 1
	passes = min((passes+threads-1)/threads*threads, b)
	return plan{images: b, passes: passes}
}

// bounds returns the images first..end−1 of pass i.
func (p plan) bounds(i int) (first, end int) {
	if p.group > 0 {
		return i * p.group, min((i+1)*p.group, p.images)
	}
	return p.images * i / p.passes, p.images * (i + 1) / p.passes
}

// largest returns the most images that any pass holds.
func (p plan) largest() int {
	if p.group > 0 {
		return min(p.group, p.images)
	}
	return (p.images-1)/p.passes + 1
}
