package weights

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
)

const shardA, shardB = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"

// encoded is a safetensors file of F32 tensors, each of one element.
func encoded(t testing.TB, metadata map[string]string, names ...string) []byte {
	t.Helper()
	var tensors []Tensor
	for i, name := range names {
		tensors = append(tensors, Float32Tensor(name, []int{1}, []float32{float32(len(name) + i)}))
	}
	var b bytes.Buffer
	if err := EncodeSafetensors(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// opener serves shards from memory and counts what is still open.
type opener struct {
	files map[string][]byte
	open  int
}

type counted struct {
	io.Reader
	o *opener
}

func (c counted) Close() error { c.o.open--; return nil }

func (o *opener) shard(name string) (io.ReadCloser, int64, error) {
	b, ok := o.files[name]
	if !ok {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	o.open++
	return counted{bytes.NewReader(b), o}, int64(len(b)), nil
}

func shards(t testing.TB) *opener {
	return &opener{files: map[string][]byte{
		shardA: encoded(t, map[string]string{"format": "pt", "part": "1"}, "a", "bb"),
		shardB: encoded(t, map[string]string{"format": "pt", "part": "2", "more": "x"}, "ccc"),
	}}
}

const goodMap = `"weight_map":{"a":"` + shardA + `","bb":"` + shardA + `","ccc":"` + shardB + `"}`

// TestReadShardedPytorch: shards may be what PyTorch saved, in a file that can be read in any order.
func TestReadShardedPytorch(t *testing.T) {
	const shard = "pytorch_model-00001-of-00001.bin"
	index := []byte(`{"weight_map":{"w":"` + shard + `"}}`)
	b := zipOf(pickleDict(goodTensor))
	f, err := ReadSharded("dir/"+PytorchIndexFile, index, func(string) (io.ReadCloser, int64, error) {
		return inOrder{bytes.NewReader(b)}, int64(len(b)), nil
	})
	if err != nil || len(f.Tensors) != 1 || f.Tensors[0].Name != "w" {
		t.Errorf("%v, %v", f, err)
	}
	o := &opener{files: map[string][]byte{shard: b}}
	if _, err := ReadSharded("dir/"+PytorchIndexFile, index, o.shard); err == nil || o.open != 0 ||
		!strings.Contains(err.Error(), "from disk only") {
		t.Errorf("a stream: %v, %d open", err, o.open)
	}
}

// inOrder is a file in memory.
type inOrder struct{ *bytes.Reader }

func (inOrder) Close() error { return nil }

func TestReadSharded(t *testing.T) {
	for _, index := range []string{
		`{` + goodMap + `}`,
		`{"metadata":{"total_size":12},` + goodMap + "}\n",              // transformers ends the file with a line's end
		`{` + goodMap + `,"metadata":{"total_size":-1.5e300,"x":[{}]}}`, // wrong sums and foreign keys do not matter
		`{"other":null,` + goodMap + `} ` + "\r\n",
	} {
		o := shards(t)
		f, err := ReadSharded("dir/"+IndexFile, []byte(index), o.shard)
		if err != nil {
			t.Fatalf("%s: %v", index, err)
		}
		if o.open != 0 {
			t.Errorf("%d shards left open", o.open)
		}
		var got []string
		for _, tensor := range f.Tensors {
			x, err := tensor.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(tensor.Name, x))
			if found, ok := f.Get(tensor.Name); !ok || &found.Data[0] != &tensor.Data[0] {
				t.Errorf("Get(%q) finds another tensor", tensor.Name)
			}
		}
		if s := strings.Join(got, " "); s != "a[1] bb[3] ccc[3]" {
			t.Errorf("tensors %s", s)
		}
		if s := fmt.Sprint(f.Metadata); s != "map[format:pt more:x part:1]" {
			t.Errorf("metadata %s", s)
		}
	}
}

// TestReadShardedRefuses: every fault has an error that names the file and says what is wrong.
func TestReadShardedRefuses(t *testing.T) {
	one := func(shard string) string { return `{"weight_map":{"a":"` + shard + `"}}` }
	for _, c := range []struct{ name, index, fault string }{
		{"empty", ``, "unexpected end"},
		{"an array", `[]`, "an object was expected"},
		{"no map", `{"metadata":{}}`, `"weight_map" is missing`},
		{"another case", `{"Weight_Map":{"a":"` + shardA + `"}}`, `"weight_map" is missing`},
		{"empty map", `{"weight_map":{}}`, "names no tensor"},
		{"map twice", `{` + goodMap + `,` + goodMap + `}`, `key "weight_map" appears twice`},
		{"tensor twice", `{"weight_map":{"a":"` + shardA + `","a":"` + shardB + `"}}`, `key "a" appears twice`},
		{"tensor twice by an escape", `{"weight_map":{"a":"` + shardA + `","\u0061":"` + shardB + `"}}`,
			`key "a" appears twice`},
		{"shard a number", `{"weight_map":{"a":1}}`, "a string was expected"},
		{"map an array", `{"weight_map":["a"]}`, "an object was expected"},
		{"map null", `{"weight_map":null}`, "null where an object"},
		{"cut", `{"weight_map":{"a":"` + shardA + `"`, "unexpected end"},
		{"cut in metadata", `{"metadata":{"total`, "invalid JSON"},
		{"text behind", one(shardA) + "x", "after top-level value"},
		{"bad UTF-8", "{\"weight_map\":{\"\xff\":\"x\"}}", "not valid UTF-8"},
		{"lone surrogate", `{"weight_map":{"\ud800":"` + shardA + `"}}`, "invalid surrogate pair"},
		{"deep metadata", `{"metadata":` + strings.Repeat("[", 100000) +
			strings.Repeat("]", 100000) + `,` + goodMap + `}`, "invalid JSON"},
		{"too large", `{"metadata":"` + strings.Repeat("x", MaxIndex) + `"}`, "beyond the limit"},
		{"parent", one(`../model.safetensors`), "not a plain file name"},
		{"absolute", one(`/etc/model.safetensors`), "not a plain file name"},
		{"folder", one(`a/model.safetensors`), "not a plain file name"},
		{"backslash", one(`a\\model.safetensors`), "not a plain file name"},
		{"drive", one(`c:model.safetensors`), "not a plain file name"},
		{"hidden", one(`.model.safetensors`), "not a plain file name"},
		{"only the ending", one(`.safetensors`), "not a plain file name"},
		{"empty shard", one(``), "not a .safetensors file"},
		{"dots", one(`..`), "not a plain file name"},
		{"not safetensors", one(`config.json`), "not a .safetensors file"},
		{"null byte", one(`a\u0000.safetensors`), "control character"},
		{"newline", one(`a\n.safetensors`), "control character"},
		{"long", one(strings.Repeat("x", 250) + ".safetensors"), "shard name of 262 bytes"},
		{"missing shard", one("model-9.safetensors"), "file does not exist"},
		{"tensor not in its shard",
			`{"weight_map":{"a":"` + shardA + `","bb":"` + shardA + `","ccc":"` + shardB + `","d":"` + shardB + `"}}`,
			`tensor "d" is not in ` + shardB},
		{"tensor in another shard",
			`{"weight_map":{"a":"` + shardB + `","bb":"` + shardA + `","ccc":"` + shardB + `"}}`,
			`tensor "a" should be in ` + shardB + " alone"},
		{"tensor not in the map", `{"weight_map":{"a":"` + shardA + `","ccc":"` + shardB + `"}}`,
			`tensor "bb" is not in the map`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := shards(t)
			f, err := ReadSharded("dir/"+IndexFile, []byte(c.index), o.shard)
			if err == nil {
				t.Fatalf("accepted: %v", f.Tensors)
			}
			if !strings.Contains(err.Error(), c.fault) || !strings.HasPrefix(err.Error(), "weights: dir/model") ||
				len(err.Error()) > 600 {
				t.Errorf("%v\nwants %q", err, c.fault)
			}
			if o.open != 0 {
				t.Errorf("%d shards left open", o.open)
			}
		})
	}
	if _, err := ReadSharded(IndexFile, []byte(one("gone.safetensors")),
		shards(t).shard); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want one that is fs.ErrNotExist", err)
	}
	var many strings.Builder
	for i := range maxShards + 1 {
		fmt.Fprintf(&many, `,"t%d":"%d.safetensors"`, i, i)
	}
	_, err := ReadSharded(IndexFile, []byte(`{"weight_map":{`+many.String()[1:]+`}}`), shards(t).shard)
	if err == nil || !strings.Contains(err.Error(), "4097 shards") {
		t.Errorf("%d shards: %v", maxShards+1, err)
	}
}

// TestReadShardedTwice: a tensor that two shards hold, and a shard that is damaged or shorter than it is said to be.
func TestReadShardedTwice(t *testing.T) {
	index := []byte(`{` + goodMap + `}`)
	for _, c := range []struct {
		name   string
		damage func(o *opener)
		fault  string
	}{
		{"in two shards", func(o *opener) { o.files[shardB] = encoded(t, nil, "ccc", "a") },
			`tensor "a" should be in ` + shardA},
		{"cut", func(o *opener) { o.files[shardB] = o.files[shardB][:20] }, shardB + ": header length"},
		{"empty", func(o *opener) { o.files[shardA] = nil }, "empty file"},
		{"no tensor", func(o *opener) { o.files[shardB] = encoded(t, nil) }, `tensor "ccc" is not in`},
	} {
		o := shards(t)
		c.damage(o)
		if _, err := ReadSharded(IndexFile, index, o.shard); err == nil || !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, want %q", c.name, err, c.fault)
		}
	}
	o := shards(t)
	_, err := ReadSharded(IndexFile, index, func(name string) (io.ReadCloser, int64, error) {
		r, n, err := o.shard(name)
		return r, n + 4, err
	})
	if err == nil || !strings.Contains(err.Error(), shardA) {
		t.Errorf("a wrong size: %v", err)
	}
}

// FuzzShardIndex: any text is either refused or gives names that cannot lead out of the directory.
func FuzzShardIndex(f *testing.F) {
	f.Add([]byte(`{"metadata":{"total_size":12},` + goodMap + "}\n"))
	f.Add([]byte(`{"weight_map":{"a":"../x.safetensors"}}`))
	f.Add([]byte(`{"metadata":[[[1e999]]],"weight_map":{"\ud83d\ude00":"\u0061.safetensors"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := parseShardIndex(text)
		if err != nil {
			return
		}
		if len(x.shards) == 0 || len(x.shards) > len(x.shardOf) {
			t.Fatalf("%d shards for %d tensors", len(x.shards), len(x.shardOf))
		}
		for _, shard := range x.shards {
			if !fs.ValidPath(shard) || strings.ContainsAny(shard, "/\\") ||
				shard == "." || !strings.HasSuffix(shard, ".safetensors") && !strings.HasSuffix(shard, ".bin") {
				t.Fatalf("shard %q", shard)
			}
		}
	})
}
