package infer

import (
	"context"
	"math"
	"path/filepath"
	"testing"

	"github.com/adavit/adavit/vit"
)

// TestEmbeddings: the heads' products of what Output.Embeddings says that they read are the logits, whatever they look
// at, and asking for it changes none.
func TestEmbeddings(t *testing.T) {
	models, err := filepath.Glob(filepath.Join("..", "testdata", "reference", "pooled", "*", "config.json"))
	if err != nil || len(models) == 0 {
		t.Fatalf("no models: %v", err)
	}
	for _, name := range models {
		m, err := vit.Load(filepath.Dir(name))
		if err != nil {
			t.Fatal(err)
		}
		c := m.Params.Config
		w, err := Pack(m.Params, F32)
		if err != nil {
			t.Fatal(err)
		}
		e, err := New(w, Options{Embed: true})
		if err != nil {
			t.Fatal(err)
		}
		images := sines(&c)
		var out Output
		err = e.Run(context.Background(), Batch{Images: images}, &out)
		e.Close()
		if err != nil {
			t.Fatal(err)
		}
		plain := run(t, m.Params, options{}, images).Logits
		size := c.Readouts().Inputs() * c.Embed
		if len(out.Embeddings) != 2*size {
			t.Fatalf("%s: %d numbers for two images, want %d", name, len(out.Embeddings), 2*size)
		}
		for i := range 2 {
			var read []float64
			for _, v := range out.Embeddings[i*size : (i+1)*size] {
				read = append(read, float64(v))
			}
			inputs := len(m.Params.HeadWeight) / c.Classes
			want := linearPlain(read[:inputs], m.Params.HeadWeight, m.Params.HeadBias)
			if c.Distillation == vit.DistillHead {
				for k, v := range linearPlain(read[c.Embed:], m.Params.HeadDistWeight, m.Params.HeadDistBias) {
					want[k] = (want[k] + v) / 2
				}
			}
			for k, v := range want {
				at := i*c.Classes + k
				if by := math.Abs(v - float64(out.Logits[at])); !(by <= 1e-5) || out.Logits[at] != plain[at] {
					t.Errorf("%s: logit %d is %v, by the embedding %v", name, at, out.Logits[at], v)
				}
			}
		}
	}
}
