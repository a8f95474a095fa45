package infer

// How large X [rows, E] should be in the first block of a pass. A GEMM needs rows enough to hide the streaming of its
// weights, and few enough that the activations, some ten times X, stay in the cache. Where tokens halt, late blocks
// have a fraction of the first block's rows, so more images share a pass. Measured on Zen 5 (1 MiB L2 a core, 32 MiB
// L3) in f32, bf16 and int8, where anything from half to four times as much is within a few percent.
const (
	denseFloats    = 80 << 10
	adaptiveFloats = 160 << 10
	leastRows      = 192 // whatever E is
)

// groupLimit returns the most images that a pass should hold when each starts with the given number of tokens of embed
// numbers, which may halt.
func groupLimit(tokens, embed int, adaptive bool) int {
	floats := denseFloats
	if adaptive {
		floats = adaptiveFloats
	}
	return max(max(floats/embed, leastRows)/tokens, 1)
}

// plan cuts a batch into passes of whole images, as equal as can be.
type plan struct{ images, passes int }

// newPlan cuts b images into passes of at most limit images each, a multiple of the number of threads where there are
// images enough, so that no thread idles.
func newPlan(b, limit, threads int) plan {
	passes := (b-1)/limit + 1
	return plan{images: b, passes: min((passes+threads-1)/threads*threads, b)}
}

// bounds returns the images first..end−1 of pass i.
func (p plan) bounds(i int) (first, end int) {
	return p.images * i / p.passes, p.images * (i + 1) / p.passes
}

// largest returns the most images that any pass holds.
func (p plan) largest() int { return (p.images-1)/p.passes + 1 }
