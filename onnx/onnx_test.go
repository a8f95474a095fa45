package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// export writes a model and reads it back.
func export(t interface {
	Helper()
	Fatal(...any)
}, p *vit.Params, o Options) *readModel {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, p, o); err != nil {
		t.Fatal(err)
	}
	m, err := readFile(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

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
		Embed: whole("embed_dim"), Heads: whole("num_heads"), Layers: whole("depth"), Hidden: int(number("mlp_ratio") * number("embed_dim")),
		Height: whole("img_size"), Width: whole("img_size"), Patch: whole("patch_size"), Channels: 3, Classes: whole("num_classes"),
		Eps: number("layer_norm_eps"),
		Halting: halting.Config{
			Policy: halting.PolicyToken, GateScale: number("gate_scale"), GateCenter: number("gate_center"), Epsilon: number("halt_eps"),
		},
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
							t.Fatalf("%s, %+v, batch %d: logit %d of image %d is %v, want %v", name, o, batch, j%c.Classes, i+j/c.Classes, v, want[i*c.Classes+j])
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
		Embed: heads * rapid.IntRange(1, 4).Draw(t, "head width"), Heads: heads, Layers: rapid.IntRange(1, 5).Draw(t, "layers"),
		Hidden: rapid.IntRange(1, 9).Draw(t, "hidden"), Patch: patch,
		Height: patch * rapid.IntRange(1, 3).Draw(t, "rows"), Width: patch * rapid.IntRange(1, 4).Draw(t, "columns"),
		Channels: rapid.IntRange(1, 3).Draw(t, "channels"), Classes: rapid.IntRange(1, 4).Draw(t, "classes"),
		Eps: 1e-3, Distillation: vit.Distillation(rapid.IntRange(0, 2).Draw(t, "distillation")),
		Halting: halting.Config{
			Policy: halting.PolicyToken, GateScale: rapid.Float64Range(-3, 5).Draw(t, "scale"),
			GateCenter: rapid.Float64Range(-2, 3).Draw(t, "center"), Epsilon: rapid.Float64Range(0, 0.5).Draw(t, "epsilon"),
		},
	}
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

// TestRandomModels evaluates graphs of random models on random batches and holds them against the method as it is written down. It also
// counts: in every block the graph must hold as many tokens as the image with the most of them needs, and no more.
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
			finished := slices.Max(depth[:c.Readouts()])
			for l := range left {
				n := c.Readouts() // are always there
				for k, v := range depth {
					if k < c.Readouts() && l < finished {
						continue
					}
					n += int(truth(v > l))
				}
				left[l] = max(left[l], n)
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

func small(t testing.TB) *vit.Params {
	t.Helper()
	c, err := vit.Variant("micro")
	if err != nil {
		t.Fatal(err)
	}
	c.Halting = halting.Config{Policy: halting.PolicyToken, GateScale: 10, GateCenter: 30, Epsilon: 0.01}
	c.Labels = strings.Fields(`a b "c" d é f g h i j`)
	c.Eps = 1e-12
	return vit.Initialize(c, 1, 0)
}

// TestStructure checks what a runtime checks before it runs a graph, and that nothing lies in the file unused.
func TestStructure(t *testing.T) {
	for distillation := range vit.DistillHead + 1 {
		p := small(t)
		c := p.Config
		c.Distillation = distillation
		p = vit.Initialize(c, 1, 0)
		for _, o := range []Options{{}, {Depth: true}, {Dense: true}, {Opset: 19}, {Opset: 20, Dense: true}} {
			m := export(t, p, o)
			known, used := map[string]bool{"input": true}, map[string]bool{}
			for name := range m.constants {
				known[name] = true
			}
			if len(known) != len(m.constants)+1 || len(m.order) != len(m.constants) {
				t.Errorf("%+v: a name is taken twice", o)
			}
			for _, n := range m.nodes {
				if n.name == "" || n.name != n.out[0] {
					t.Errorf("%+v: node %q makes %q", o, n.name, n.out)
				}
				for _, in := range n.in {
					if !known[in] {
						t.Errorf("%+v: node %s uses %q before it is there", o, n.name, in)
					}
					used[in] = true
				}
				for _, out := range n.out {
					if known[out] {
						t.Errorf("%+v: %q is made twice", o, out)
					}
					known[out] = true
				}
				if gelu := n.op == "Gelu"; gelu && o.Opset < 20 || n.op == "Erf" && o.Opset == 20 {
					t.Errorf("%+v: operator %s", o, n.op)
				}
			}
			for out := range m.outputs {
				used[out] = true
			}
			for name := range known {
				if unwanted := strings.HasSuffix(name, "halt.top") || strings.HasSuffix(name, "halt.order"); !used[name] && !unwanted {
					t.Errorf("%+v: nothing uses %q", o, name)
				}
			}
			checkWeights(t, m, p)
			want := map[string][]any{"logits": {elemFloat, "batch", c.Classes}}
			if o.Depth {
				want["depth"] = []any{elemInt64, "batch", c.Tokens()}
			}
			if fmt.Sprint(m.outputs) != fmt.Sprint(want) || fmt.Sprint(m.inputs) != fmt.Sprint(map[string][]any{"input": {elemFloat, "batch", 3, 32, 32}}) {
				t.Errorf("%+v: inputs %v, outputs %v", o, m.inputs, m.outputs)
			}
			opset, ir := max(int64(o.Opset), 17), int64(8)
			if opset >= 19 {
				ir = 9
			}
			if m.opset != opset || m.ir != ir {
				t.Errorf("%+v: opset %d, version %d", o, m.opset, m.ir)
			}
			if got := m.metadata["labels"]; got != `["a","b","\"c\"","d","é","f","g","h","i","j"]` {
				t.Errorf("labels %s", got)
			}
		}
	}
}

// checkWeights checks that every parameter is in the file, bit for bit and once.
func checkWeights(t *testing.T, m *readModel, p *vit.Params) {
	t.Helper()
	total := 0
	for name, v := range m.constants {
		if !strings.HasPrefix(name, "const.") {
			total += len(v.data)
		}
	}
	if total != p.Config.ParamCount() {
		t.Errorf("%d numbers of parameters, want %d", total, p.Config.ParamCount())
	}
	for _, x := range p.Tensors() {
		got := m.constants[x.Name]
		if block, kind, ok := strings.Cut(x.Name, "qkv."); ok {
			x.Shape = slices.Clone(x.Shape)
			for i, part := range []string{"q.", "k.", "v."} {
				third := m.constants[block+part+kind]
				if want := with(x.Shape, 0, x.Shape[0]/3); !slices.Equal(third.shape, want) {
					t.Errorf("%s, part %d: shape %v, want %v", x.Name, i, third.shape, want)
				}
				got.data = append(got.data, third.data...)
			}
		} else if !slices.Equal(got.shape, x.Shape) {
			t.Errorf("%s: shape %v, want %v", x.Name, got.shape, x.Shape)
		}
		if !slices.Equal(got.data, wide(x.Data)) {
			t.Errorf("%s: other numbers", x.Name)
		}
	}
}

func TestDeterminism(t *testing.T) {
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := Write(b, small(t), Options{Depth: true}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two files of one model differ")
	}
}

// TestEpsilon looks for the layer norm's own constant, which transformers and timm set differently.
func TestEpsilon(t *testing.T) {
	norms := 0
	for _, n := range export(t, small(t), Options{}).nodes {
		if n.op == "LayerNormalization" {
			norms++
			if eps := n.attributes["epsilon"]; eps != float32(1e-12) {
				t.Errorf("%s: epsilon %v", n.name, eps)
			}
		}
	}
	if norms != 2*4+1 {
		t.Errorf("%d norms", norms)
	}
}

func TestRefusals(t *testing.T) {
	for fault, change := range map[string]func(p *vit.Params, o *Options){
		"configuration: ": func(p *vit.Params, _ *Options) { p.Config.Heads = 5 },
		"opset 16":        func(_ *vit.Params, o *Options) { o.Opset = 16 },
		"opset 21":        func(_ *vit.Params, o *Options) { o.Opset = 21 },
		"dense graph":     func(_ *vit.Params, o *Options) { o.Dense, o.Depth = true, true },
		"parameters, but": func(p *vit.Params, _ *Options) { p.Data = p.Data[1:] },
		`tensor "blocks.2.mlp.fc1.weight": element 7 is NaN`: func(p *vit.Params, _ *Options) { p.Blocks[2].FC1Weight[7] = float32(math.NaN()) },
		`tensor "head.bias": element 0 is +Inf`:              func(p *vit.Params, _ *Options) { p.HeadBias[0] = float32(math.Inf(1)) },
		"2.3 GiB or more, but protobuf ends at 2 GiB": func(p *vit.Params, _ *Options) {
			p.Config.Embed, p.Config.Heads, p.Config.Hidden, p.Config.Layers = 2048, 16, 8192, 12
		},
	} {
		p, o := small(t), Options{}
		change(p, &o)
		var b bytes.Buffer
		if err := Write(&b, p, o); err == nil || !strings.Contains(err.Error(), fault) || b.Len() > 0 {
			t.Errorf("error %v after %d bytes, want one that says %q", err, b.Len(), fault)
		}
	}
	if err := Write(io.Discard, nil, Options{}); err == nil {
		t.Error("no parameters: no error")
	}
	for size, ok := range map[int64]bool{1<<31 - 1: true, 1 << 31: false} {
		if err := checkSize(size); (err == nil) != ok {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// full is a disk with little room.
type full struct{ room int }

var errFull = errors.New("disk full")

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), f.room)
	f.room -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

func TestWriteErrors(t *testing.T) {
	p := small(t)
	var b bytes.Buffer
	if err := Write(&b, p, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 1000, b.Len() / 2, b.Len() - 1} {
		if err := Write(&full{room}, p, Options{}); !errors.Is(err, errFull) {
			t.Errorf("room for %d of %d bytes: %v", room, b.Len(), err)
		}
	}
	if err := Write(&full{b.Len()}, p, Options{}); err != nil {
		t.Error(err)
	}
}

// TestStreams makes sure that the weights go out without being collected in memory first.
func TestStreams(t *testing.T) {
	c, err := vit.Variant("deit-tiny")
	if err != nil {
		t.Fatal(err)
	}
	p := vit.NewParams(c)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := Write(io.Discard, p, Options{}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Errorf("%d bytes allocated for a file of %d", used, 4*c.ParamCount())
	}
}
