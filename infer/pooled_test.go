package infer

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// sines are two images whose pixel i is sin(i), as those of testdata/reference/pooled.
func sines(c *vit.Config) []float32 {
	x := make([]float32, 2*c.ImageLen())
	for i := range x {
		x[i] = float32(math.Sin(float64(i)))
	}
	return x
}

// TestPooledReference holds models that timm and transformers saved, with registers or heads on the patches' mean, to
// what these libraries make of two images, in all precisions; and again after saving and loading.
func TestPooledReference(t *testing.T) {
	folder := filepath.Join("..", "testdata", "reference", "pooled")
	list, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	pooling := map[vit.Pooling]int{}
	for _, entry := range list {
		if !entry.IsDir() {
			continue
		}
		t.Run(entry.Name(), func(t *testing.T) {
			m, err := vit.Load(filepath.Join(folder, entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			pooling[m.Params.Config.Pooling]++
			f, err := weights.ReadSafetensors(filepath.Join(folder, entry.Name(), "expect.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			want := floats(t, f, "logits")
			images := sines(&m.Params.Config)
			onEveryPath(t, func(t *testing.T) {
				for precision, most := range map[Precision]float64{F32: 1e-5, BF16: 0.05, Int8: 0.1} {
					got := run(t, m.Params, options{Precision: precision}, images).Logits
					for i, v := range got {
						if by := math.Abs(float64(v - want[i])); !(by <= most) {
							t.Errorf("%s: logit %d is %v, want %v", precision, i, v, want[i])
						}
					}
				}
			})
			dir := filepath.Join(t.TempDir(), "saved")
			if err := vit.Save(dir, m, weights.F32); err != nil {
				t.Fatal(err)
			}
			again, err := vit.Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(again.Params.Data, m.Params.Data) {
				t.Error("other parameters after saving")
			}
			sameBits(t, "logits after saving", run(t, again.Params, options{}, images).Logits,
				run(t, m.Params, options{}, images).Logits)
		})
	}
	if len(pooling) != 4 {
		t.Errorf("models by pooling: %v", pooling)
	}
}

// TestHaltedPatchesCount: what the mean takes of a halted patch is its mean field, worked out by hand for one block and
// one patch after the other.
func TestHaltedPatchesCount(t *testing.T) {
	c := schemeConfig("none", 2) // four patches
	c.Pooling, c.NoClassToken = vit.Mean, true
	p := makeModel(c, 3, gatesMixed)
	images := drawImages(c, 1, 4)
	fields := func(p *vit.Params, s halting.Scheme, caps []int) []float32 {
		w, err := Pack(p, F32)
		if err != nil {
			t.Fatal(err)
		}
		o := Options{Fields: true}
		if s != nil {
			o.Schemes = []halting.Scheme{s}
		}
		e, err := New(w, o)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		var out Output
		if err := e.Run(background, Batch{Images: images, Caps: caps}, &out); err != nil {
			t.Fatal(err)
		}
		return out.Fields
	}
	// All patches halt after block 1, then all but the first: the mean moves by a quarter of what that one changed.
	all := halting.Planned(halting.None{}, []int32{1, 1, 1, 1})
	short := fields(p, all, nil)
	one := fields(p, halting.Planned(halting.None{}, []int32{2, 1, 1, 1}), nil)
	x := tokensAfter(p, images)
	for j := range c.Embed {
		want := float32(0)
		for k := range 4 {
			want += x[0][k][j] / 4
		}
		if math.Abs(float64(short[j]-want)) > 1e-5 {
			t.Fatalf("number %d of the mean after block 1 is %v, want %v", j, short[j], want)
		}
	}
	if slices.Equal(short, one) {
		t.Error("a patch that goes on changes nothing")
	}
	// With a cap of one token-block a single patch starts, and it alone is the mean.
	if alone := fields(p, nil, []int{1}); slices.Equal(alone, short) || kernels.FirstNotFinite(alone) >= 0 ||
		slices.Max(alone) == 0 {
		t.Errorf("with one patch the mean is %v", alone)
	}
}

// tokensAfter runs the masked reference's blocks over one image and returns its tokens after each [L][N][E].
func tokensAfter(p *vit.Params, image []float32) (x [][][]float32) {
	c := &p.Config
	rows := embedPlain(p, image)
	n := len(rows)
	alive, size := make([]bool, n), make([]float64, n)
	for k := range n {
		alive[k], size[k] = true, 1
	}
	for l := range c.Layers {
		blockPlain(p, &p.Blocks[l], rows, alive, alive, size)
		after := make([][]float32, n)
		for k, row := range rows {
			for _, v := range row {
				after[k] = append(after[k], float32(v))
			}
		}
		x = append(x, after)
	}
	return x
}
