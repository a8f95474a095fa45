package infer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
	"pgregory.net/rapid"
)

// TestRemovedIsMasked is invariant 2: taking halted tokens out gives what masking them gives.
func TestRemovedIsMasked(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			p := drawModel(t)
			b := rapid.IntRange(1, 3).Draw(t, "images")
			checkAgainstMasked(t, p, drawImages(p.Config, b, rapid.Uint64().Draw(t, "pixels")))
		})
	})
}

// nudged returns numbers that are larger or smaller by some units of float32's last place, in one of many ways.
func nudged(x []float32, way uint64) []float32 {
	out, r := slices.Clone(x), rand.New(rand.NewPCG(1, way))
	for i := range out {
		out[i] *= 1 + float32(1-r.IntN(2)*2)*0x1p-22
	}
	return out
}

// nudges is in how many ways weights and images are nudged: one alone may happen to change little.
const nudges = 6

func checkAgainstMasked(t fataler, p *vit.Params, images []float32) {
	c := &p.Config
	n, size := c.Tokens(), c.Channels*c.Height*c.Width
	b := len(images) / size
	quick := run(t, p, options{}, images)
	full := run(t, p, options{Full: true}, images)
	for i := range b {
		want := maskedForward(p, images[i*size:(i+1)*size])
		if want.margin < 1e-4 {
			continue // float32 may round to either side of the threshold
		}
		off := make([]float64, c.Classes)
		for way := range uint64(nudges) {
			q := p.Clone()
			copy(q.Data, nudged(p.Data, way))
			nearby := maskedForward(q, nudged(images[i*size:(i+1)*size], way))
			for j, v := range want.logits {
				off[j] = max(off[j], math.Abs(nearby.logits[j]-v))
			}
		}
		for j, v := range want.logits {
			// A norm of few nearly equal numbers magnifies rounding errors; how much, the nudge says.
			tolerance := max(1e-5*max(1, math.Abs(v)), 16*off[j])
			for _, got := range []float32{quick.Logits[i*c.Classes+j], full.Logits[i*c.Classes+j]} {
				if math.Abs(float64(got)-v) > tolerance {
					t.Fatalf("image %d, class %d: logit %v, masked forward says %v ± %.2g", i, j, got, v, tolerance)
				}
			}
		}
		active := make([]int32, c.Layers)
		for k := range n {
			if got := int(quick.Depth[i*n+k]); got != want.ran[k] {
				t.Fatalf("image %d, token %d ran in %d blocks, masked forward says %d", i, k, got, want.ran[k])
			}
			for l := range want.ran[k] {
				active[l]++
			}
			if got := int(full.Trace.Depth[i*n+k]); got != want.depth[k] || full.Depth[i*n+k] != int32(got) {
				t.Fatalf("image %d, token %d: depth %d, ran in %d blocks, masked forward says %d",
					i, k, got, full.Depth[i*n+k], want.depth[k])
			}
			if got := float64(full.Trace.Rho[i*n+k]); math.Abs(got-want.rho[k]) > 1e-4 {
				t.Fatalf("image %d, token %d: rho %v, masked forward says %v", i, k, got, want.rho[k])
			}
			for l := range c.Layers {
				at := (l*b+i)*n + k
				if got := float64(full.Trace.Score[at]); math.Abs(got-want.score[l*n+k]) > 1e-4 {
					t.Fatalf("image %d, token %d, block %d: score %v, masked forward says %v",
						i, k, l+1, got, want.score[l*n+k])
				}
				if got := full.Trace.Active[at] == 1; got != (l < want.depth[k]) {
					t.Fatalf("image %d, token %d, block %d: ran is %v, its depth is %d", i, k, l+1, got, want.depth[k])
				}
			}
		}
		if got := quick.Active[i*c.Layers : (i+1)*c.Layers]; !slices.Equal(got, active) {
			t.Fatalf("image %d: active %v, masked forward says %v", i, got, active)
		}
	}
}

// TestRaggedEdges pins down the cases at the edge of raggedness, down to one patch.
func TestRaggedEdges(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		for name, kind := range map[string]int{
			"patches halt": gatesPatchHalt, "all halt": gatesAllHalt, "class halts": gatesClassHalt,
		} {
			for _, grid := range []int{1, 3} {
				p := makeModel(smallConfig(grid), 7, kind)
				images := drawImages(p.Config, 3, 8)
				checkAgainstMasked(t, p, images)
				out := run(t, p, options{}, images)
				want := []int32{int32(p.Config.Tokens()), 1, 1, 1}
				if kind != gatesPatchHalt {
					want = []int32{int32(p.Config.Tokens()), 0, 0, 0}
				}
				if !slices.Equal(out.Active[:4], want) {
					t.Errorf("%s, %d×%d patches: active tokens %v, want %v", name, grid, grid, out.Active[:4], want)
				}
			}
		}
	})
}

// TestOthersDoNotMatter is invariant 1: an image's result has the same bits whatever the batch, the group, the threads
// and the worker.
func TestOthersDoNotMatter(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			p := drawModel(t)
			c := &p.Config
			b := rapid.IntRange(2, 9).Draw(t, "images")
			images := drawImages(*c, b, rapid.Uint64().Draw(t, "pixels"))
			full, precision := rapid.Bool().Draw(t, "full"), rapid.SampledFrom(precisions).Draw(t, "precision")
			all := run(t, p, options{
				Threads: rapid.IntRange(1, 4).Draw(t, "threads"), Group: rapid.IntRange(0, b).Draw(t, "group"),
				Full: full, Precision: precision,
			}, images)
			single := newEngine(t, p, options{Full: full, Precision: precision})
			defer single.Close()
			size := c.Channels * c.Height * c.Width
			for i := range b {
				var one Output
				if err := single.Run(background, Batch{Images: images[i*size : (i+1)*size]}, &one); err != nil {
					t.Fatal(err)
				}
				sameImage(t, c, all, i, &one, 0)
			}
		})
	})
}

// TestManyRows: passes of more rows than one chunk of the MLP, and a hidden layer whose rows are padded, give what
// single images give.
func TestManyRows(t *testing.T) {
	c := smallConfig(9)
	c.Hidden = 1024
	const b = 6
	if rows := b * c.Tokens(); rows <= chunkRows || rows%chunkRows == 0 || hiddenStride(c.Hidden) == c.Hidden {
		t.Fatalf("%d rows of %d: the test misses its point", rows, c.Hidden)
	}
	onEveryPath(t, func(t *testing.T) {
		p := makeModel(c, 3, gatesMixed)
		images := drawImages(c, b, 4)
		for _, precision := range precisions {
			single := run(t, p, options{Group: 1, Precision: precision}, images)
			sameBits(t, "logits", run(t, p, options{Group: b, Precision: precision}, images).Logits, single.Logits)
			full := run(t, p, options{Group: b, Full: true, Precision: precision}, images)
			sameBits(t, "logits of the full engine", full.Logits, single.Logits)
		}
		checkAgainstMasked(t, p, images[:len(images)/b])
	})
}

// TestShortCutsChangeNothing is invariant 3: stopping with the class token, and computing only its row in block L,
// leave the logits' bits alone.
func TestShortCutsChangeNothing(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			p := drawModel(t)
			images := drawImages(p.Config, rapid.IntRange(1, 4).Draw(t, "images"), rapid.Uint64().Draw(t, "pixels"))
			precision := rapid.SampledFrom(precisions).Draw(t, "precision")
			full := run(t, p, options{Full: true, Precision: precision}, images)
			sameBits(t, "logits", run(t, p, options{Precision: precision}, images).Logits, full.Logits)
		})
	})
}

// smallConfig has grid×grid patches and 4 blocks.
func smallConfig(grid int) vit.Config {
	c := vit.Config{
		Embed: 24, Heads: 2, Layers: 4, Hidden: 40, Height: 3 * grid, Width: 3 * grid, Patch: 3,
		Channels: 2, Classes: 4,
		Eps: 1e-6,
	}
	c.Halting = halting.Config{Scheme: "token"}.With("gate_scale", 2).With("gate_center", 1)
	return c
}
