package adavit

import (
	"cmp"
	"math"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/internal/modeltest"
)

// TestPrecisionsOfBundled: on test images the trained models' logits point where float32's do, and name the same class.
func TestPrecisionsOfBundled(t *testing.T) {
	of := map[string]string{"textile-adaptive": "textile"}
	for _, name := range BundledModels() {
		m, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		c := m.Params.Config
		set, err := datasets.Open(cmp.Or(of[name], "fashion-mnist"), data.Test, nil)
		if err == nil {
			set, err = data.Fit(set, m.Preprocessor, c.Channels, c.Height, c.Width)
		}
		if err != nil {
			t.Fatal(err)
		}
		most := 200
		if testing.Short() { // the larger model's time, in plain Go
			most = 10
		}
		images, size := min(most, set.Len(), 2_000_000/c.ImageLen()), c.ImageLen() // of the larger model fewer
		pixels, bytes := make([]float32, images*size), make([]byte, size)
		for i := range images {
			if err := set.Pixels(bytes, i); err != nil {
				t.Fatal(err)
			}
			m.Preprocessor.Normalize(pixels[i*size:(i+1)*size], bytes, c.Channels, c.Height, c.Width)
		}
		logits := func(p infer.Precision) []float32 {
			e := modeltest.Engine(t, m.Params, p, infer.Options{})
			var out infer.Output
			if err := e.Run(t.Context(), infer.Batch{Images: pixels}, &out); err != nil {
				t.Fatal(err)
			}
			return out.Logits
		}
		exact := logits(infer.F32)
		for p, least := range map[infer.Precision]float64{infer.BF16: 0.9998, infer.Int8: 0.999} {
			got, agree := logits(p), 0
			var dot, a, b float64
			for i := range images {
				x, y := exact[i*c.Classes:(i+1)*c.Classes], got[i*c.Classes:(i+1)*c.Classes]
				bestX, bestY := 0, 0
				for j := range x {
					dot, a, b = dot+float64(x[j])*float64(y[j]), a+float64(x[j])*float64(x[j]), b+float64(y[j])*float64(y[j])
					if x[j] > x[bestX] {
						bestX = j
					}
					if y[j] > y[bestY] {
						bestY = j
					}
				}
				if bestX == bestY {
					agree++
				}
			}
			if cosine := dot / math.Sqrt(a*b); !(cosine >= least) || agree < images-2 {
				t.Errorf("%s in %s: cosine %v, want %v; %d of %d images get the same class", name, p, cosine, least, agree, images)
			}
		}
	}
}
