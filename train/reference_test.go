package train

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// reference is a file of results of the published PyTorch code, in ../testdata/reference.
type reference struct {
	t    *testing.T
	file *weights.File
}

func openReference(t *testing.T, name string) reference {
	t.Helper()
	f, err := weights.ReadSafetensors(filepath.Join("..", "testdata", "reference", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return reference{t, f}
}

func (r reference) number(key string) float64 {
	r.t.Helper()
	v, err := strconv.ParseFloat(r.file.Metadata[key], 64)
	if err != nil {
		r.t.Fatalf("metadata %s: %v", key, err)
	}
	return v
}

func (r reference) floats(name string) []float32 {
	r.t.Helper()
	tensor, ok := r.file.Get(name)
	if !ok {
		r.t.Fatalf("no tensor %s", name)
	}
	v, err := tensor.Float32s()
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func (r reference) ints(name string) []int32 {
	r.t.Helper()
	tensor, ok := r.file.Get(name)
	if !ok {
		r.t.Fatalf("no tensor %s", name)
	}
	v := make([]int32, len(tensor.Data)/4)
	for i := range v {
		v[i] = int32(binary.LittleEndian.Uint32(tensor.Data[4*i:]))
	}
	return v
}

func (r reference) params() *vit.Params {
	r.t.Helper()
	n := func(key string) int { return int(r.number(key)) }
	c := vit.Config{Embed: n("embed_dim"), Heads: n("num_heads"), Layers: n("depth"),
		Hidden: n("embed_dim") * n("mlp_ratio"), Height: n("img_size"), Width: n("img_size"), Patch: n("patch_size"),
		Channels: 3, Classes: n("num_classes"), Eps: r.number("layer_norm_eps")}
	c.Halting = halting.Config{Scheme: "token"}.With("gate_scale", r.number("gate_scale")).
		With("gate_center", r.number("gate_center")).With("epsilon", r.number("halt_eps"))
	p := vit.NewParams(c)
	for _, dst := range p.Tensors() {
		copy(dst.Data, r.floats("weights."+dst.Name))
	}
	return p
}

func (r reference) batch() Batch {
	input, labels := r.floats("input"), r.ints("labels")
	size := len(input) / len(labels)
	return Batch{Size: len(labels), Labels: labels, Load: func(i int, dst []float32) error {
		copy(dst, input[i*size:(i+1)*size])
		return nil
	}}
}

func (r reference) loss() Loss {
	return Loss{LabelSmoothing: r.number("label_smoothing"), AlphaPonder: r.number("alpha_ponder"),
		AlphaPrior:  r.number("alpha_prior"),
		TargetLayer: r.number("prior_target_layer")}
}

// onEveryPath runs a test once for each set of kernels that this machine has.
func onEveryPath(t *testing.T, test func(t *testing.T)) {
	for _, path := range kernels.Paths() {
		t.Run(path, func(t *testing.T) {
			restore, err := kernels.Use(path)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			test(t)
		})
	}
}

func worst(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	d := 0.0
	for i := range got {
		e := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(e) {
			return math.Inf(1)
		}
		d = max(d, e)
	}
	return d
}

func largest(x []float32) float64 { return worst(x, make([]float32, len(x))) }

func TestReference(t *testing.T) {
	for _, name := range []string{"micro", "micro_deep"} {
		t.Run(name, func(t *testing.T) {
			onEveryPath(t, func(t *testing.T) { compareWithReference(t, openReference(t, name)) })
		})
	}
}

func compareWithReference(t *testing.T, r reference) {
	p := r.params()
	c := p.Config
	net, err := NewNetwork(p, 2)
	if err != nil {
		t.Fatal(err)
	}
	net.shardSize = 2 // so that there are several shards
	b := r.batch()
	stats, _, err := net.forward(b, r.loss())
	if err != nil {
		t.Fatal(err)
	}
	tokens := c.Tokens()
	logits, depth, rho, scores := r.floats("expect.logits"), r.ints("expect.depth"), r.floats("expect.rho"),
		r.floats("expect.scores")
	for i := range b.Size {
		out := net.output(i)
		if d := worst(out.Logits, logits[i*c.Classes:(i+1)*c.Classes]); d > 1e-4 {
			t.Errorf("image %d: logits differ by %g", i, d)
		}
		for k := range tokens {
			if out.Depth[k] != depth[i*tokens+k] {
				t.Errorf("image %d token %d: depth %d, want %d", i, k, out.Depth[k], depth[i*tokens+k])
			}
			if d := math.Abs(float64(float32(out.Depth[k])+out.Remainder[k]) - float64(rho[i*tokens+k])); d > 1e-4 {
				t.Errorf("image %d token %d: rho differs by %g", i, k, d)
			}
			for l := range c.Layers {
				want := scores[(l*b.Size+i)*tokens+k]
				if d := math.Abs(float64(out.Score[l*tokens+k] - want)); d > 1e-4 {
					t.Errorf("image %d token %d block %d: score differs by %g", i, k, l, d)
				}
			}
		}
	}
	for l, want := range r.floats("expect.layer_scores") {
		if d := math.Abs(stats.LayerScores[l] - float64(want)); d > 1e-5 {
			t.Errorf("block %d: mean score differs by %g", l+1, d)
		}
	}
	reverse := r.loss()
	reverse.ReversePrior = true
	reversed, _, err := net.forward(b, reverse)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		name      string
		got, want float64
	}{
		{"cross-entropy", stats.CrossEntropy, float64(r.floats("expect.loss_ce")[0])},
		{"ponder", stats.Ponder, float64(r.floats("expect.loss_ponder")[0])},
		{"prior", stats.Prior, float64(r.floats("expect.loss_prior")[0])},
		{"reverse prior", reversed.Prior, float64(r.floats("expect.loss_prior_reverse")[0])},
		{"loss", stats.Loss, float64(r.floats("expect.loss")[0])},
	} {
		if math.Abs(v.got-v.want) > 1e-5*(1+math.Abs(v.want)) {
			t.Errorf("%s is %v, want %v", v.name, v.got, v.want)
		}
	}
	grad := vit.NewParams(c)
	if _, err := net.Step(b, r.loss(), grad); err != nil {
		t.Fatal(err)
	}
	for _, g := range grad.Tensors() {
		want := r.floats("grad." + g.Name)
		if d := worst(g.Data, want) / largest(want); d > 1e-3 {
			t.Errorf("gradient of %s differs by %.2g of its largest", g.Name, d)
		}
	}
}
