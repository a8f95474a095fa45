package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/vit"
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

func small(t testing.TB) *vit.Params {
	t.Helper()
	c, err := vit.Variant("micro")
	if err != nil {
		t.Fatal(err)
	}
	c.Halting = halting.Config{Scheme: "token"}
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
		list := []Options{{}, {Depth: true}, {Dense: true}, {Opset: 19}, {Opset: 20, Dense: true}, {}, {Opset: 20}}
		for i, o := range list {
			p.Config.Halting = c.Halting
			if i > 4 {
				p.Config.Halting = c.Halting.With("exit", 0.9)
			}
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
				unwanted := func(end string) bool { return strings.HasSuffix(name, end) }
				if !used[name] && !slices.ContainsFunc([]string{"halt.top", "halt.order", "exit.class"}, unwanted) {
					t.Errorf("%+v: nothing uses %q", o, name)
				}
			}
			checkWeights(t, m, p)
			want := map[string][]any{"logits": {elemFloat, "batch", c.Classes}}
			if o.Depth {
				want["depth"] = []any{elemInt64, "batch", c.Tokens()}
			}
			if fmt.Sprint(m.outputs) != fmt.Sprint(want) ||
				fmt.Sprint(m.inputs) != fmt.Sprint(map[string][]any{"input": {elemFloat, "batch", 3, 32, 32}}) {
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
		"opset 29":        func(_ *vit.Params, o *Options) { o.Opset = 29 },
		"dense graph":     func(_ *vit.Params, o *Options) { o.Dense, o.Depth = true, true },
		"parameters, but": func(p *vit.Params, _ *Options) { p.Data = p.Data[1:] },
		`tensor "blocks.2.mlp.fc1.weight": element 7 is NaN`: func(p *vit.Params,
			_ *Options) {
			p.Blocks[2].FC1Weight[7] = float32(math.NaN())
		},
		`tensor "head.bias": element 0 is +Inf`: func(p *vit.Params,
			_ *Options) {
			p.HeadBias[0] = float32(math.Inf(1))
		},
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
	if used := after.TotalAlloc - before.TotalAlloc; used > 3<<20 {
		t.Errorf("%d bytes allocated for a file of %d", used, 4*c.ParamCount())
	}
}
