package onnx

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/tokentest"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// reference reads a file of results of the published PyTorch code, and the model that they are of.
func reference(t *testing.T, name string) (*weights.File, *vit.Params) {
	t.Helper()
	f, err := weights.ReadSafetensors(filepath.Join("..", "testdata", "reference", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	number := func(key string) float64 {
		v, err := strconv.ParseFloat(f.Metadata[key], 64)
		if err != nil {
			t.Fatalf("metadata %s: %v", key, err)
		}
		return v
	}
	whole := func(key string) int { return int(number(key)) }
	p := vit.NewParams(vit.Config{
		Embed: whole("embed_dim"), Heads: whole("num_heads"), Layers: whole("depth"),
		Hidden: int(number("mlp_ratio") * number("embed_dim")),
		Height: whole("img_size"), Width: whole("img_size"), Patch: whole("patch_size"), Channels: 3,
		Classes: whole("num_classes"),
		Eps:     number("layer_norm_eps"),
		Halting: halting.Config{Scheme: "token"}.With("gate_scale", number("gate_scale")).With("gate_center",
			number("gate_center")).With("epsilon", number("halt_eps")),
	})
	for _, dst := range p.Tensors() {
		copy(dst.Data, floats(t, f, "weights."+dst.Name))
	}
	return f, p
}

func floats(t *testing.T, f *weights.File, name string) []float32 {
	t.Helper()
	x, ok := f.Get(name)
	if !ok {
		t.Fatalf("the reference file has no tensor %q", name)
	}
	v, err := x.Float32s()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestReference evaluates the graphs and holds them against results of the published PyTorch code.
func TestReference(t *testing.T) {
	for _, name := range []string{"micro", "micro_deep"} {
		f, p := reference(t, name)
		c, images := p.Config, wide(floats(t, f, "input"))
		size := c.Channels * c.Height * c.Width
		depths, ok := f.Get("expect.depth")
		if !ok {
			t.Fatal("no depths")
		}
		depth, err := depths.Int32s()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []Options{{}, {Opset: 20, Depth: true}, {Dense: true}, {Dense: true, Opset: 20}} {
			m := export(t, p, o)
			want := wide(floats(t, f, "expect.logits"))
			if o.Dense {
				want = wide(floats(t, f, "expect.dense_logits"))
			}
			worst := 0.0
			for _, batch := range []int{1, len(images) / size} {
				for i := 0; i*size < len(images); i += batch {
					all, err := m.run(value{elemFloat, []int{batch, c.Channels, c.Height, c.Width}, images[i*size : (i+batch)*size]})
					if err != nil {
						t.Fatal(err)
					}
					got := all["logits"]
					if !slices.Equal(got.shape, []int{batch, c.Classes}) {
						t.Fatalf("logits have shape %v", got.shape)
					}
					for j, v := range got.data {
						worst = max(worst, math.Abs(v-want[i*c.Classes+j]))
						if !(worst <= 1e-4) {
							t.Fatalf("%s, %+v, batch %d: logit %d of image %d is %v, want %v", name, o, batch, j%c.Classes, i+j/c.Classes, v,
								want[i*c.Classes+j])
						}
					}
					if !o.Depth {
						continue
					}
					for j, v := range all["depth"].data {
						image, k := i+j/c.Tokens(), j%c.Tokens()
						class := depth[image*c.Tokens()]
						if ran := min(depth[image*c.Tokens()+k], class); int32(v) != ran {
							t.Fatalf("%s, batch %d: token %d of image %d ran in %v blocks, want %d", name, batch, k, image, v, ran)
						}
					}
				}
			}
			t.Logf("%s, %+v: largest difference %.2g", name, o, worst)
		}
	}
}

// randomModel draws a small model. Its gates spread over many depths.
func randomModel(t *rapid.T) *vit.Params {
	heads := rapid.IntRange(1, 3).Draw(t, "heads")
	patch := rapid.IntRange(1, 3).Draw(t, "patch")
	c := vit.Config{
		Embed: heads * rapid.IntRange(1, 4).Draw(t, "head width"), Heads: heads,
		Layers: rapid.IntRange(1, 5).Draw(t, "layers"),
		Hidden: rapid.IntRange(1, 9).Draw(t, "hidden"), Patch: patch,
		Height: patch * rapid.IntRange(1, 3).Draw(t, "rows"), Width: patch * rapid.IntRange(1, 4).Draw(t, "columns"),
		Channels: rapid.IntRange(1, 3).Draw(t, "channels"), Classes: rapid.IntRange(1, 4).Draw(t, "classes"),
		Eps: 1e-3,
		Halting: halting.Config{Scheme: "token"}.With("gate_scale", rapid.Float64Range(-3, 5).Draw(t,
			"scale")).With("gate_center", rapid.Float64Range(-2, 3).Draw(t, "center")).With("epsilon",
			rapid.Float64Range(0, 0.5).Draw(t, "epsilon")).With("exit",
			rapid.SampledFrom([]float64{0, 0, 0.2, 0.6, 0.8, 1}).Draw(t, "exit")).With("registers_halt",
			rapid.Bool().Draw(t, "registers halt")),
	}
	tokentest.Draw(t, &c)
	if rapid.Bool().Draw(t, "dense") {
		c.Halting = halting.Dense()
	}
	p := vit.NewParams(c)
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	for i := range p.Data {
		p.Data[i] = float32(rng.NormFloat64() * 0.7)
	}
	return p
}

// TestRandomModels evaluates graphs of random models on random batches and holds them against the method as it is
// written down. It also counts: in every block the graph must hold as many tokens as the image with the most of them
// needs, and no more.
func TestRandomModels(t *testing.T) {
	halted, mixed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		p := randomModel(t)
		c := p.Config
		adaptive := c.Halting.Adaptive()
		m := export(t, p, Options{Depth: adaptive, Opset: rapid.IntRange(DefaultOpset, MaxOpset).Draw(t, "opset")})
		batch, size := rapid.IntRange(1, 4).Draw(t, "batch"), c.Channels*c.Height*c.Width
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "images"), 0))
		images := make([]float64, batch*size)
		for i := range images {
			images[i] = rng.NormFloat64()
		}
		all, err := m.run(value{elemFloat, []int{batch, c.Channels, c.Height, c.Width}, images})
		if err != nil {
			t.Fatal(err)
		}
		logits, left := all["logits"], make([]int, c.Layers)
		for b := range batch {
			want, depth := plain(p, images[b*size:(b+1)*size])
			for j, v := range want {
				if got := logits.data[b*c.Classes+j]; !(math.Abs(got-v) <= 1e-5*(1+math.Abs(v))) {
					t.Fatalf("logit %d of image %d is %v, want %v", j, b, got, v)
				}
			}
			for k, v := range depth {
				if !adaptive {
					continue
				}
				if got := all["depth"].data[b*c.Tokens()+k]; got != float64(v) {
					t.Fatalf("token %d of image %d ran in %v blocks, want %d", k, b, got, v)
				}
				if v < c.Layers {
					halted++
				}
			}
			r := c.Readouts()
			pinned := r.Alone // are always there
			if r.Pooled > 0 || r.Registers > 0 {
				pinned = r.Special
			}
			for l := range left {
				n := pinned
				for k, v := range depth {
					n += int(truth(v > l && k >= pinned))
				}
				left[l] = max(left[l], n, 1)
			}
		}
		for l, n := range left {
			if got := all[blockPrefix(l)+"attn.k"].shape[0]; got != n*batch {
				t.Fatalf("block %d has %d rows, want %d for each of %d images", l+1, got, n, batch)
			}
			if adaptive && batch > 1 && l > 0 && slices.Min(all[blockPrefix(l-1)+"halt.bias"].data) < -1e29 {
				mixed++
			}
		}
	})
	if halted == 0 || mixed == 0 {
		t.Errorf("%d tokens halted early, %d blocks barred one: the test does not see what it is for", halted, mixed)
	}
}
