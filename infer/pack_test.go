package infer

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// Weights have the same bits packed from memory or from a file, by one thread or several: those of each matrix packed
// whole. From a file it takes the memory of what is packed and little more.
func TestPackStored(t *testing.T) {
	c, err := vit.Variant("fashion-small")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	whole := &vit.Model{Params: vit.Initialize(c, 3, 0.3), Preprocessor: picture.DefaultPreprocessor(28, 28, 1)}
	if err := vit.Save(dir, whole, weights.F32); err != nil {
		t.Fatal(err)
	}
	if whole, err = vit.Load(dir); err != nil {
		t.Fatal(err)
	}
	m, err := vit.LoadOptions{Stored: true}.Load(dir)
	if err != nil || m.Params.Data != nil {
		t.Fatalf("%v, %d parameters in memory", err, len(m.Params.Data))
	}
	e, from := c.Embed, &whole.Params.Blocks[2]
	for _, precision := range precisions {
		want, err := Pack(whole.Params, precision)
		if err != nil {
			t.Fatal(err)
		}
		b := &want.blocks[2]
		var ownF32 kernels.Packed
		var ownBF16 kernels.PackedBF16
		var ownInt8 kernels.PackedInt8
		switch precision {
		case F32:
			kernels.PackTransposed(&ownF32, from.FC2Weight, c.Hidden, c.Hidden, e)
		case BF16:
			kernels.PackBF16(&ownBF16, from.QKVWeight[e*e:], e, e, 2*e)
		case Int8:
			kernels.PackInt8(&ownInt8, from.QKVWeight[:e*e], e, e, e)
		}
		if precision == F32 && !reflect.DeepEqual(b.fc2.f32, ownF32) ||
			precision == BF16 && !reflect.DeepEqual(b.keyValue.bf16, ownBF16) ||
			precision == Int8 && !reflect.DeepEqual(b.query.int8, ownInt8) {
			t.Errorf("%s: a weight differs from the same one packed whole", precision)
		}
		for _, threads := range []int{0, 1, 3} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := PackOptions{precision, threads}.Pack(m.Params)
			runtime.ReadMemStats(&after)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%s, %d threads: %v, or other weights", precision, threads, err)
			}
			rows := int64(max(threads, 1) * 32 * 4 * c.Hidden)
			if n := int64(after.TotalAlloc - before.TotalAlloc); n > got.Bytes()*11/10+rows+200<<10 {
				t.Errorf("%s, %d threads: %d bytes were allocated for %d and %d of rows", precision, threads, n, got.Bytes(),
					rows)
			}
		}
	}
}

// A number that is not finite is found by any number of threads, and always the same one.
func TestPackNotFinite(t *testing.T) {
	c, err := vit.Variant("fashion-small")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m := &vit.Model{Params: vit.Initialize(c, 3, 0), Preprocessor: picture.DefaultPreprocessor(28, 28, 1)}
	if err := vit.Save(dir, m, weights.F32); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, vit.WeightsFile)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data := file[8+binary.LittleEndian.Uint64(file):]
	for i := range 4 { // the end of every block of weights, whichever lies there
		copy(data[len(data)*(i+3)/8&^3:], "\x00\x00\x80\x7f")
	}
	if err := os.WriteFile(path, file, 0o666); err != nil {
		t.Fatal(err)
	}
	stored, err := vit.LoadOptions{Stored: true}.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	for range 5 {
		for _, threads := range []int{1, 4} {
			_, err := PackOptions{Int8, threads}.Pack(stored.Params)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "is +Inf") {
				t.Fatalf("%d threads: %v", threads, err)
			}
			if want == "" {
				want = err.Error()
			}
			if err.Error() != want {
				t.Errorf("%d threads: %v, but once %s", threads, err, want)
			}
		}
	}
}

// Weights that are stored rounded for a precision are the same in it as those that are rounded when they are packed;
// Auto is that precision.
func TestPackRounded(t *testing.T) {
	c, err := vit.Variant("fashion-small")
	if err != nil {
		t.Fatal(err)
	}
	c.Embed, c.Heads, c.Hidden = 80, 2, 150 // panels that keys and values share, rows that are no multiple of four
	c.Layers = 2
	prep := picture.DefaultPreprocessor(28, 28, 1)
	p := vit.Initialize(c, 3, 0.3)
	p.Blocks[1].FC1Weight[7], p.Blocks[1].FC1Weight[8] = 1e-39, 0x1.fffffep-127
	exact := filepath.Join(t.TempDir(), "exact")
	if err := vit.Save(exact, &vit.Model{Params: p, Preprocessor: prep}, weights.F32); err != nil {
		t.Fatal(err)
	}
	from, err := vit.Load(exact)
	if err != nil {
		t.Fatal(err)
	}
	for precision, dtype := range map[Precision]weights.DType{Int8: weights.I8, BF16: weights.BF16} {
		dir := filepath.Join(t.TempDir(), "m")
		if err := vit.SaveRounded(dir, from, dtype); err != nil {
			t.Fatal(err)
		}
		m, err := vit.LoadOptions{Stored: true}.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if own, err := Resolve(Auto, m); own != precision || err != nil || Caution(own, m) != "" ||
			!strings.Contains(Caution(F32, m), string(precision)) {
			t.Errorf("%s: auto is %s, %v", precision, own, err)
		}
		want, err := Pack(from.Params, precision)
		if err != nil {
			t.Fatal(err)
		}
		got, err := PackOptions{precision, 2}.Pack(m.Params)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, or other weights than those that were not stored rounded", precision, err)
		}
	}
}
