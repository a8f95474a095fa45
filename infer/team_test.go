package infer

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTeam: an image that several workers share has the bits that one worker gives it, with depths and scores.
func TestTeam(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			p := drawModel(t)
			images := drawImages(p.Config, rapid.IntRange(1, 2).Draw(t, "images"), rapid.Uint64().Draw(t, "pixels"))
			o := options{Full: rapid.Bool().Draw(t, "full")}
			o.Precision = rapid.SampledFrom(precisions).Draw(t, "precision")
			alone := run(t, p, o, images)
			o.Threads = rapid.IntRange(3, 7).Draw(t, "threads")
			e := newEngine(t, p, o)
			defer e.Close()
			together := &Output{}
			if o.Full {
				together.Trace = &Trace{}
			}
			for range 2 { // memory is used again
				if err := e.Run(background, Batch{Images: images}, together); err != nil {
					t.Fatal(err)
				}
				sameBits(t, "logits", together.Logits, alone.Logits)
				if o.Full {
					sameBits(t, "scores", together.Trace.Score, alone.Trace.Score)
					sameBits(t, "rho", together.Trace.Rho, alone.Trace.Rho)
				}
				for i, d := range alone.Depth {
					if together.Depth[i] != d {
						t.Fatalf("token %d ran in %d blocks, alone in %d", i, together.Depth[i], d)
					}
				}
			}
		})
	})
}
