package vit

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/weights"
)

func microModel(t interface{ Fatal(...any) }, seed uint64) *Model {
	c := mustVariant(t, "micro")
	return &Model{Params: Initialize(c, seed, 0),
		Preprocessor: picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)}
}

// read returns the content of all files in dir, directories with a slash behind their names.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.IsDir() {
			files[e.Name()+"/"] = ""
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}

func names(files map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(files)), " ")
}

const modelFiles = ConfigFile + " " + WeightsFile + " " + PreprocessorFile

// TestRoundTrip: what is written comes back, bit for bit in F32 and rounded in F16; writing that again gives the same
// bytes. It works in memory: on disk every save waits for the device several times.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		m := &Model{Params: Initialize(c, rapid.Uint64().Draw(t, "seed"), 0),
			Preprocessor: picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)}
		dtype := rapid.SampledFrom([]weights.DType{weights.F32, weights.F16, weights.BF16}).Draw(t, "dtype")
		files := inMemory(t, m, dtype)
		got, err := LoadFS(files, "m")
		if err != nil {
			t.Fatal(err)
		}
		want := m.Params.Clone()
		if dtype == weights.F16 {
			for i, v := range want.Data {
				want.Data[i] = weights.ToFloat16(v).Float32()
			}
		}
		if dtype == weights.BF16 {
			for i, v := range want.Data {
				want.Data[i] = weights.ToBFloat16(v).Float32()
			}
		}
		want.Config.Labels = labelsOf(c)
		if diff := cmp.Diff(want.Config, got.Params.Config); diff != "" {
			t.Fatal(diff)
		}
		if !slices.Equal(want.Data, got.Params.Data) {
			t.Fatal("other parameters come back")
		}
		if diff := cmp.Diff(m.Preprocessor, got.Preprocessor); diff != "" {
			t.Fatal(diff)
		}
		for name, file := range inMemory(t, got, dtype) {
			if !bytes.Equal(file.Data, files[name].Data) {
				t.Fatalf("writing again gives another %s", name)
			}
		}
	})
}

// inMemory is a saved model as a file system.
func inMemory(t interface{ Fatal(...any) }, m *Model, dtype weights.DType) fstest.MapFS {
	r, err := render(m, dtype, encode)
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for _, f := range r {
		b := bytes.NewBuffer(f.content)
		if f.tensors != nil {
			if err := weights.EncodeSafetensors(b, nil, f.tensors); err != nil {
				t.Fatal(err)
			}
		}
		files["m/"+f.name] = &fstest.MapFile{Data: b.Bytes()}
	}
	return files
}

// TestSaveLoad saves into a new directory with a new parent, then again into the same.
func TestSaveLoad(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "models", "m") + "/"
	var last map[string]string
	for range 2 {
		m := microModel(t, 1)
		if err := Save(dir, m, weights.F32); err != nil {
			t.Fatal(err)
		}
		got, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m.Params.Data, got.Params.Data) {
			t.Error("other parameters come back")
		}
		files := read(t, dir)
		if names(files) != modelFiles || last != nil && !maps.Equal(files, last) {
			t.Errorf("directory holds %s", names(files))
		}
		last = files
		if parent := names(read(t, filepath.Dir(filepath.Clean(dir)))); parent != "m/" {
			t.Errorf("parent holds %s", parent)
		}
	}
}

// TestSaveKeepsOthers: a directory where training goes on keeps what else it holds.
func TestSaveKeepsOthers(t *testing.T) {
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "checkpoints"), 0o777)
	os.WriteFile(filepath.Join(dir, "log.jsonl"), []byte("{}\n"), 0o666)
	os.WriteFile(filepath.Join(dir, ConfigFile), []byte("old"), 0o666)
	m := microModel(t, 1)
	if err := Save(dir, m, weights.F32); err != nil {
		t.Fatal(err)
	}
	files := read(t, dir)
	if want := "checkpoints/ config.json log.jsonl model.safetensors preprocessor_config.json"; names(files) != want ||
		files["log.jsonl"] != "{}\n" {
		t.Errorf("directory holds %s, want %s", names(files), want)
	}
	if got, err := Load(dir); err != nil || !slices.Equal(got.Params.Data, m.Params.Data) {
		t.Errorf("%v", err)
	}
	// transformers refuses a file without this.
	if f, err := weights.ReadSafetensorsFrom("f", strings.NewReader(files[WeightsFile]),
		int64(len(files[WeightsFile]))); err != nil || f.Metadata["format"] != "pt" {
		t.Errorf("metadata %v %v", f.Metadata, err)
	}
}

func TestSaveRefuses(t *testing.T) {
	for _, v := range []struct {
		name   string
		change func(m *Model)
		dtype  weights.DType
		fault  string
	}{
		{"nil parameters", func(m *Model) { m.Params = nil }, weights.F32, "no parameters"},
		{"NaN", func(m *Model) { m.Params.Blocks[2].FC1Bias[7] = float32(math.NaN()) },
			weights.F32, `tensor "vit.encoder.layer.2.intermediate.dense.bias": element 7 is NaN`},
		{"infinity", func(m *Model) { m.Params.Blocks[1].QKVWeight[32*32] = float32(math.Inf(1)) },
			weights.F32, `tensor "vit.encoder.layer.1.attention.attention.key.weight": element 0 is +Inf`},
		{"beyond a half", func(m *Model) { m.Params.HeadBias[1] = -65520 },
			weights.F16, `tensor "classifier.bias": element 1 is -65520, beyond the range of F16`},
		{"beyond bfloat16", func(m *Model) { m.Params.HeadBias[1] = math.MaxFloat32 },
			weights.BF16, `element 1 is 3.4028235e+38, beyond the range of BF16`},
		{"integers", func(m *Model) {}, weights.I32, `not as "I32"`},
		{"no type", func(m *Model) {}, "", `not as ""`},
		{"bad configuration", func(m *Model) { m.Params.Config.Heads = 5 }, weights.F32, "not a multiple of 5 heads"},
		{"other configuration", func(m *Model) { m.Params.Config.Layers++ },
			weights.F32, "but the configuration wants"},
		{"label's encoding", func(m *Model) { m.Params.Config.Labels = strings.Split("abcdefghi\xff", "") },
			weights.F32, "label 9"},
	} {
		m := microModel(t, 1)
		v.change(m)
		root := t.TempDir()
		dir := filepath.Join(root, "m")
		if err := Save(dir, m, v.dtype); err == nil || !strings.Contains(err.Error(), v.fault) ||
			!strings.Contains(err.Error(), dir) {
			t.Errorf("%s: error %v, want %q and the directory's name", v.name, err, v.fault)
		}
		if files := read(t, root); len(files) > 0 {
			t.Errorf("%s: left behind: %s", v.name, names(files))
		}
	}
	m := microModel(t, 1)
	m.Params.HeadBias[1] = 65519 // rounds down to the largest half
	if err := Save(filepath.Join(t.TempDir(), "m"), m, weights.F16); err != nil {
		t.Error(err)
	}
	if err := Save(t.TempDir(), nil, weights.F32); err == nil {
		t.Error("nil model: no error")
	}
}

// TestSaveFailsWhole: when a file cannot be written, the old model stays as it was and nothing temporary is left.
func TestSaveFailsWhole(t *testing.T) {
	for _, blocked := range []string{ConfigFile, WeightsFile, PreprocessorFile} {
		dir := t.TempDir()
		if err := Save(dir, microModel(t, 1), weights.F32); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, blocked)
		os.Remove(path)
		os.Mkdir(path, 0o777)
		before := read(t, dir)
		if err := Save(dir, microModel(t, 2), weights.F16); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s is a directory: error %v", blocked, err)
		}
		if !maps.Equal(before, read(t, dir)) {
			t.Errorf("%s is a directory: other files have changed", blocked)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	os.WriteFile(file, []byte("x"), 0o666)
	if err := Save(file, microModel(t, 1), weights.F32); err == nil ||
		!strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("over a file: %v", err)
	}
	if err := Save(filepath.Join(file, "m"), microModel(t, 1), weights.F32); err == nil {
		t.Error("below a file: no error")
	}
	if err := Save("", microModel(t, 1), weights.F32); err == nil {
		t.Error("no name: no error")
	}
	if got := read(t, dir); names(got) != "file" || got["file"] != "x" {
		t.Errorf("left behind: %s", names(got))
	}
}

func TestSaveUnwritable(t *testing.T) {
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("permissions do not bind this user")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := Save(dir, microModel(t, 1), weights.F32); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("%v", err)
	}
}

// TestCrash goes through the states that a crash can leave behind while a model is replaced: each is the old model, the
// new one, or refused.
func TestCrash(t *testing.T) {
	for _, v := range []struct {
		name   string
		change func(*Model)
		want   string
	}{
		{"weights", func(m *Model) {}, "new old"},
		{"configuration too", func(m *Model) { m.Params.Config.Eps = 1e-5 }, "new old refused"},
		{"ladder gone", func(m *Model) { m.Ladder = nil }, "new old refused"},
		{"preprocessor too", func(m *Model) { m.Preprocessor.Mean = []float64{0.25, 0.25, 0.25} }, "new old refused"},
	} {
		dir := t.TempDir()
		older, newer := microModel(t, 1), microModel(t, 2)
		older.Ladder = []Rung{{Mean: 0.5}}
		newer.Ladder = older.Ladder
		v.change(newer)
		if err := Save(dir, older, weights.F32); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		look := func() {
			m, err := Load(dir)
			switch {
			case err != nil && strings.Contains(err.Error(), ConfigFile):
				seen["refused"] = true
			case err != nil:
				t.Fatal(err)
			case equal(m, older):
				seen["old"] = true
			case equal(m, newer):
				seen["new"] = true
			default:
				t.Fatalf("%s: a mixture of two models", v.name)
			}
		}
		files, err := render(newer, weights.F32, encode)
		if err != nil {
			t.Fatal(err)
		}
		if err := files.replaceStep(dir, look); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(seen)), " "); got != v.want {
			t.Errorf("%s: seen %s, want %s", v.name, got, v.want)
		}
	}
}

// TestSwap: a directory that holds a model alone changes as a whole, whatever form the old weights had.
func TestSwap(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("directories are swapped on Linux alone")
	}
	root := t.TempDir()
	dir := filepath.Join(root, "m")
	old := microModel(t, 1)
	old.Ladder = []Rung{{Mean: 0.5}}
	if err := Save(dir, old, weights.F32); err != nil {
		t.Fatal(err)
	}
	os.Rename(filepath.Join(dir, WeightsFile), filepath.Join(dir, "model-00001-of-00001.safetensors"))
	os.WriteFile(filepath.Join(dir, weights.IndexFile), []byte("{}"), 0o666)
	os.Chmod(dir, 0o750)
	os.Symlink("m", filepath.Join(root, "link"))
	before, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := microModel(t, 2)
	if err := Save(filepath.Join(root, "link"), want, weights.F32); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(dir)
	if err != nil || os.SameFile(before, after) || after.Mode() != before.Mode() {
		t.Errorf("not swapped: %v, %v", after, err)
	}
	if got, err := Load(dir); err != nil || !equal(got, want) || names(read(t, dir)) != modelFiles {
		t.Errorf("%v, directory holds %s", err, names(read(t, dir)))
	}
	if list, err := os.ReadDir(root); err != nil || len(list) != 2 {
		t.Errorf("beside it: %v, %v", list, err)
	}
}

// equal compares all but the labels.
func equal(a, b *Model) bool {
	return a.Params.Config.Eps == b.Params.Config.Eps && slices.Equal(a.Params.Data, b.Params.Data) &&
		cmp.Equal(a.Preprocessor, b.Preprocessor) && cmp.Equal(a.Ladder, b.Ladder)
}
