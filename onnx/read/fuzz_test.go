package read

import (
	"slices"
	"testing"

	"github.com/adavit/adavit/vit"
)

// FuzzONNX feeds damaged and made-up files. Whatever is read must be a model that is whole, and no file may cost more
// time or memory than one of its length should.
func FuzzONNX(f *testing.F) {
	for _, name := range []string{"timm-legacy", "timm-legacy-steps", "timm-legacy-half", "hf-headless", "no-quickgelu",
		"timm-gap", "timm-dynamo-external"} {
		f.Add(unpacked(f, name+".onnx"))
	}
	f.Add(ownFile(f, false))
	f.Add([]byte("\x08\x08\x3a\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(b, "", Options{Classes: 3})
		if err != nil {
			return
		}
		p := r.Model.Params
		if err := p.Config.Validate(); err != nil || len(p.Data) != p.Config.ParamCount() {
			t.Fatalf("%v; %d parameters", err, len(p.Data))
		}
		again, err := decode(b, "", Options{Classes: 3})
		if err != nil || !slices.Equal(again.Model.Params.Data, p.Data) {
			t.Fatalf("read again: %v, or other parameters", err)
		}
	})
}

// ownFile is what package onnx writes of a small model.
func ownFile(t testing.TB, adaptive bool) []byte {
	t.Helper()
	return written(t, vit.Initialize(smallConfig(adaptive), 1, 0.2))
}
