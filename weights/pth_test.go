package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pthPath is a fixture's path.
func pthPath(name string) string { return filepath.Join("testdata", "pth", name) }

// readPth reads a fixture that must be good.
func readPth(t testing.TB, name, key string) *Checkpoint {
	t.Helper()
	c, err := ReadCheckpoint(pthPath(name), key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestReferenceCheckpoints compares whole models, which PyTorch 1.13 saved in each of its formats, with the same
// weights in a safetensors file: every bit, or for the half file every bit of the rounded value.
func TestReferenceCheckpoints(t *testing.T) {
	want, err := ReadSafetensors(filepath.Join("..", "testdata", "reference", "micro.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	tensors := 0
	for _, x := range want.Tensors {
		if strings.HasPrefix(x.Name, "weights.") {
			tensors++
		}
	}
	plain := []string{"collections.OrderedDict", "torch.FloatStorage", "torch._utils._rebuild_tensor_v2"}
	for _, c := range []struct {
		file, key, format string
		keys, globals     []string
		dtype             DType
	}{
		{"deit.pth", "", "pth (zip)", []string{"model"}, plain, F32},
		{"deit_legacy.pth", "", "pth (before 1.6)", []string{"model"}, plain, F32},
		{"deit_f16.pth", "", "pth (zip)", []string{"model"},
			[]string{"collections.OrderedDict", "torch.HalfStorage", "torch._utils._rebuild_tensor_v2"}, F16},
		{"avit_training.pth", "", "pth (zip)", []string{"model", "model_ema"},
			append([]string{"argparse.Namespace"}, plain...), F32},
		{"avit_training.pth", "model_ema", "pth (zip)", []string{"model", "model_ema"},
			append([]string{"argparse.Namespace"}, plain...), F32},
	} {
		t.Run(c.file+c.key, func(t *testing.T) {
			got := readPth(t, c.file, c.key)
			if c.key == "" {
				c.key = "model"
			}
			if got.Format != c.format || got.Key != c.key ||
				!slices.Equal(got.Keys, c.keys) || !slices.Equal(got.Globals, c.globals) {
				t.Errorf("format %q, key %q of %q, globals %q", got.Format, got.Key, got.Keys, got.Globals)
			}
			if len(got.Tensors) != tensors {
				t.Errorf("%d tensors, wanted %d", len(got.Tensors), tensors)
			}
			for _, x := range got.Tensors {
				w, ok := want.Get("weights." + x.Name)
				if !ok {
					t.Errorf("tensor %s is not in the reference", x.Name)
					continue
				}
				if c.dtype == F16 {
					values, err := w.Float32s()
					if err != nil {
						t.Fatal(err)
					}
					w = Float16Tensor(w.Name, w.Shape, values)
				}
				if x.DType != c.dtype || !slices.Equal(x.Shape, w.Shape) || !bytes.Equal(x.Data, w.Data) {
					t.Errorf("tensor %s: %s %v differs from the reference's %s %v",
						x.Name, x.DType, x.Shape, w.DType, w.Shape)
				}
				if y, ok := got.Get(x.Name); !ok || &y.Data[0] != &x.Data[0] {
					t.Errorf("Get(%s) finds another tensor", x.Name)
				}
			}
		})
	}
	want2 := map[string]string{"act_mode": "4", "gate_scale": "5",
		"gate_center": "2", "distr_prior_alpha": "0.1", "num_layers": "4"}
	if got := readPth(t, "avit_training.pth", ""); !maps.Equal(got.Args, want2) {
		t.Errorf("args %q, wanted %q", got.Args, want2)
	}
}

// numbers returns a tensor's elements as float64, whatever their type.
func numbers(t *testing.T, x Tensor) []float64 {
	t.Helper()
	if err := x.check(); err != nil {
		t.Fatal(err)
	}
	size := x.DType.Size()
	out := []float64{}
	for b := x.Data; len(b) > 0; b = b[size:] {
		var v float64
		switch x.DType {
		case F64:
			v = math.Float64frombits(binary.LittleEndian.Uint64(b))
		case F32:
			v = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		case F16:
			v = float64(Float16(binary.LittleEndian.Uint16(b)).Float32())
		case BF16:
			v = float64(BFloat16(binary.LittleEndian.Uint16(b)).Float32())
		case I64, U64:
			v = float64(int64(binary.LittleEndian.Uint64(b)))
		case I32, U32:
			v = float64(int32(binary.LittleEndian.Uint32(b)))
		case I16, U16:
			v = float64(int16(binary.LittleEndian.Uint16(b)))
		default:
			v = float64(int8(b[0]))
		}
		out = append(out, v)
	}
	return out
}

// counting returns 0, 1, … in the order that a view of them has.
func counting(offset int, shape, strides []int) []float64 {
	out := []float64{}
	var walk func(depth, at int)
	walk = func(depth, at int) {
		if depth == len(shape) {
			out = append(out, float64(at))
			return
		}
		for i := range shape[depth] {
			walk(depth+1, at+i*strides[depth])
		}
	}
	walk(0, offset)
	return out
}

func TestViewsAreMadeContiguous(t *testing.T) {
	for _, file := range []string{"views.pth", "views_legacy.pth", "views_protocol4.pth"} {
		c := readPth(t, file, "")
		if c.Key != "" || len(c.Keys) != 0 {
			t.Errorf("%s: key %q of %q", file, c.Key, c.Keys)
		}
		want := []struct {
			name   string
			dtype  DType
			shape  []int
			values []float64
		}{
			{"whole", F32, []int{4, 6}, counting(0, []int{24}, []int{1})},
			{"again", F32, []int{4, 6}, counting(0, []int{24}, []int{1})},
			{"rows", F32, []int{2, 6}, counting(6, []int{12}, []int{1})},
			{"transposed", F32, []int{6, 4}, counting(0, []int{6, 4}, []int{1, 6})},
			{"every_other", F32, []int{2, 2}, []float64{6, 9, 18, 21}},
			{"swapped", F64, []int{4, 2, 3}, counting(0, []int{4, 2, 3}, []int{1, 12, 4})},
			{"expanded", I64, []int{2, 3}, []float64{0, 1, 2, 0, 1, 2}},
			{"scalar", F32, []int{}, []float64{1.5}},
			{"empty", F32, []int{0, 3}, []float64{}},
			{"ones", F32, []int{1, 4, 1}, []float64{0, 1, 2, 3}},
		}
		if len(c.Tensors) != len(want) {
			t.Fatalf("%s: %d tensors", file, len(c.Tensors))
		}
		for i, w := range want {
			x := c.Tensors[i]
			if got := numbers(t, x); x.Name != w.name || x.DType != w.dtype ||
				!slices.Equal(x.Shape, w.shape) || !slices.Equal(got, w.values) {
				t.Errorf("%s: %s %s %v %v, wanted %v", file, x.Name, x.DType, x.Shape, got, w)
			}
		}
		if a, b := c.Tensors[0], c.Tensors[1]; &a.Data[0] != &b.Data[0] {
			t.Errorf("%s: tensors that are one in the file do not share memory", file)
		}
	}
}

func TestElementTypes(t *testing.T) {
	want := map[string]DType{"float64": F64, "float32": F32, "float16": F16,
		"bfloat16": BF16, "int64": I64, "int32": I32, "int16": I16, "int8": I8, "uint8": U8, "bool": Bool}
	for _, file := range []string{"dtypes.pth", "dtypes_legacy.pth"} {
		c := readPth(t, file, "")
		if len(c.Tensors) != len(want) {
			t.Errorf("%s: %d tensors", file, len(c.Tensors))
		}
		for _, x := range c.Tensors {
			values := []float64{1, 2, 3}
			if x.Name == "bool" {
				values = []float64{1, 0, 1}
			}
			if got := numbers(t, x); x.DType != want[x.Name] || !slices.Equal(got, values) {
				t.Errorf("%s: %s is %s %v", file, x.Name, x.DType, got)
			}
		}
	}
}

// TestNewerPyTorch reads what PyTorch 2.9 writes for element types without a storage type of their own, and for tensors
// with attributes.
func TestNewerPyTorch(t *testing.T) {
	want := map[string]struct {
		dtype  DType
		shape  []int
		values []float64
	}{
		"uint16":    {U16, []int{3}, []float64{1, 2, 3}},
		"uint32":    {U32, []int{1, 3}, []float64{1, 2, 3}},
		"uint64":    {U64, []int{3}, []float64{1, 2, 3}},
		"parameter": {F32, []int{2}, []float64{0, 1}},
		"tensor":    {F32, []int{3}, []float64{0, 1, 2}},
		"buffer":    {F32, []int{2}, []float64{1, 1}},
	}
	for _, file := range []string{"rebuilt.pth", "rebuilt_legacy.pth"} {
		c := readPth(t, file, "")
		if len(c.Tensors) != len(want) {
			t.Errorf("%s: %d tensors", file, len(c.Tensors))
		}
		for _, x := range c.Tensors {
			w := want[x.Name]
			if got := numbers(t, x); x.DType != w.dtype || !slices.Equal(x.Shape, w.shape) ||
				!slices.Equal(got, w.values) {
				t.Errorf("%s: %s is %s %v %v, wanted %v", file, x.Name, x.DType, x.Shape, got, w)
			}
		}
	}
	if x, ok := readPth(t, "unchecked.pth", "").Get("w"); !ok || !slices.Equal(numbers(t, x), []float64{1, 1}) {
		t.Errorf("without checksums: %v, %v", ok, x)
	}
}

// TestChoiceOfEntry covers which dict the tensors are taken from when no key says so.
func TestChoiceOfEntry(t *testing.T) {
	dict := func(n int) string {
		s := "}("
		for i := range n {
			s += pickleString(fmt.Sprint("w", i)) + goodTensor
		}
		return s + "u"
	}
	entry := func(name, value string) string { return pickleString(name) + value }
	for _, c := range []struct {
		name, entries, key string
		tensors            int
	}{
		{"model before the average", entry("model_ema", dict(3)) + entry("model", dict(2)), "model", 2},
		{"a model without tensors", entry("model", pickleString("deit")) + entry("state_dict", dict(2)),
			"state_dict", 2},
		{"the average alone", entry("epoch", "K\x01") + entry("model_ema", dict(2)), "model_ema", 2},
		{"DINO's two networks", entry("student", dict(3)) + entry("teacher", dict(2)), "teacher", 2},
		{"an entry of an entry", entry("epoch", "K\x01") + entry("state", "}("+entry("model", dict(2))+"u"),
			"state.model", 2},
		{"several of them", entry("a", "}("+entry("x", dict(3))+entry("module", dict(2))+"u"), "a.module", 2},
		{"an entry of another name", entry("epoch", "K\x01") + entry("student", dict(2)), "student", 2},
		{"an entry beside a tensor", entry("loss", goodTensor) + entry("student", dict(2)), "student", 2},
		{"tensors beside an entry", entry("a", goodTensor) + entry("b", goodTensor) + entry("extra", dict(1)), "", 2},
		{"a tensor named model", entry("model", goodTensor) + entry("b", goodTensor), "", 2},
		{"options beside tensors",
			entry("a", goodTensor) + entry("args", "cargparse\nNamespace\n)\x81") + entry("epoch", "K\x01"), "", 1},
	} {
		got, err := decodePth(zipOf("\x80\x02}("+c.entries+"u."), "")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got.Key != c.key || len(got.Tensors) != c.tensors {
			t.Errorf("%s: key %q with %d tensors, wanted %q with %d",
				c.name, got.Key, len(got.Tensors), c.key, c.tensors)
		}
	}
}

// TestTrainingCheckpoint reads what a training script leaves: several devices' names, an optimizer, random
// states, a set, options.
func TestTrainingCheckpoint(t *testing.T) {
	c := readPth(t, "training.pth", "")
	if c.Key != "state_dict" || !slices.Equal(c.Keys, []string{"state_dict", "other", "noted"}) {
		t.Errorf("key %q of %q", c.Key, c.Keys)
	}
	for _, global := range []string{"argparse.Namespace", "numpy.core.multiarray._reconstruct", "__builtin__.set"} {
		if !slices.Contains(c.Globals, global) {
			t.Errorf("global %s is not listed in %q", global, c.Globals)
		}
	}
	if want := map[string]string{"lr": "0.1", "batch": "8", "name": "deit",
		"ema": "True", "resume": "None"}; !maps.Equal(c.Args, want) {
		t.Errorf("args %q, wanted %q", c.Args, want)
	}
	for name, want := range map[string][]float64{"module.weight": {0, 1, 2, 3, 4, 5}, "module.bias": {0, 1}} {
		x, ok := c.Get(name)
		if !ok || !slices.Equal(numbers(t, x), want) {
			t.Errorf("%s: found %v, %v", name, ok, x)
		}
	}
	other := readPth(t, "training.pth", "other")
	if x, ok := other.Get("module.weight"); !ok || !slices.Equal(numbers(t, x), []float64{1, 1, 1, 1, 1, 1}) {
		t.Errorf("a parameter: found %v, %v", ok, x)
	}
	for key, fault := range map[string]string{
		"optimizer": `entry "optimizer" holds no tensors; these do: "state_dict", "other", "noted"`,
		"epoch":     `entry "epoch" is a whole number, not a dict of tensors`,
		"args":      `entry "args" is an object of the global "argparse.Namespace", and nothing of a pickle is run`,
		"missing":   `no entry "missing"; entries that hold tensors: "state_dict"`,
	} {
		_, err := ReadCheckpoint(pthPath("training.pth"), key)
		wantFault(t, key, err, "training.pth", fault)
	}
	_, err := ReadCheckpoint(pthPath("module.pth"), "")
	wantFault(t, "a module", err, "module.pth",
		`object of the global "torch.nn.modules.linear.Linear" where a dict of tensors was expected`)
	wantFault(t, "a module", err, "module.pth", "state_dict()")
}

// wantFault checks that an error names the file and the fault.
func wantFault(t testing.TB, what string, err error, file, fault string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, wanted %q", what, fault)
		return
	}
	if text := err.Error(); !strings.HasPrefix(text, "weights: ") ||
		!strings.Contains(text, file+": ") || !strings.Contains(text, fault) || len(text) > 2000 {
		t.Errorf("%s: error %.2000q, wanted file %q and fault %q", what, text, file, fault)
	}
}

func TestSafetensorsCheckpoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.bin") // the ending does not matter
	tensors := []Tensor{Float32Tensor("module.a", []int{1}, []float32{1}),
		Float32Tensor("module.b", []int{1}, []float32{2})}
	// A header of 0x280 bytes and more starts with the byte that starts a pickle.
	const rest = `{"__metadata__":{"k":""},"module.a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},` +
		`"module.b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`
	metadata := map[string]string{"k": strings.Repeat("x", 0x280-len(rest)-3)}
	if err := WriteSafetensors(path, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || b[0] != opProto || b[1] != 2 {
		t.Fatalf("the file was to start like a pickle, but has %x (%v)", b[:2], err)
	}
	c, err := ReadCheckpoint(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if x, ok := c.Get("module.b"); c.Format != "safetensors" || !ok || numbers(t, x)[0] != 2 {
		t.Errorf("format %q, tensor b: %v %v", c.Format, ok, x)
	}
	_, err = ReadCheckpoint(path, "model")
	wantFault(t, "a key", err, "model.bin", `entry "model" is wanted, but a safetensors file has no entries`)
}

func TestNeither(t *testing.T) {
	dir := t.TempDir()
	for content, fault := range map[string]string{
		"": "empty file",
		"version https://git-lfs.github.com/spec/v1\n": "git lfs pull",
		"<!DOCTYPE html>":                   "HTML",
		"\x89HDF\r\n\x1a\n":                 "Keras",
		"GGUF\x03\x00\x00\x00":              "quantized",
		"\x1c\x00\x00\x00TFL3":              "TensorFlow Lite",
		"PK":                                "neither safetensors nor a PyTorch checkpoint",
		"\x93NUMPY\x01\x00":                 "a single array of NumPy",
		"\x80":                              "neither safetensors nor a PyTorch checkpoint",
		"\x80\x04N.":                        "magic number",
		"\x80\x03}.":                        "magic number",
		"\x00\x00\x00\x00\x00\x00\x00\x00{": "does not start with '{'",
		"PK\x03\x04" + strings.Repeat("\x00", 100):          "no directory at the end: truncated?",
		"PK\x05\x06" + strings.Repeat("\x00", 18):           "neither safetensors",
		"PK\x03\x04PK\x05\x06" + strings.Repeat("\x00", 18): "does not end at byte 4",
		"\x80\x02\x8a\x0a" + string(legacyMagic) + ".": "protocol: pickle at byte 15: " +
			"wants 2 bytes, but 0 are left",
		fmt.Sprintf("\x80\x02\x8a\x0a%s.\x80\x02K\x01.", "0123456789"): "magic number",
	} {
		path := filepath.Join(dir, "x.pth")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadCheckpoint(path, "")
		wantFault(t, fmt.Sprintf("%q", content), err, path, fault)
	}
	if _, err := ReadCheckpoint(filepath.Join(dir, "none.pth"), ""); err == nil {
		t.Error("a missing file gives no error")
	}
	_, err := ReadCheckpoint(dir, "")
	wantFault(t, "a directory", err, dir, "not a regular file")
}
