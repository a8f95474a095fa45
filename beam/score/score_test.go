package score

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/ptest"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/internal/results"
)

func TestMain(m *testing.M) { ptest.Main(m) }

const model = "fashion-adaptive"

// photo is the i-th of some pictures that differ, as a PNG file.
func photo(t *testing.T, i int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, modeltest.Image(t, modeltest.Fashion(t), i)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// put writes files into a folder.
func put(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// job runs a job on Prism and returns its summary.
func job(t *testing.T, o Options) Summary {
	t.Helper()
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	if err := Empty(t.Context(), o.Output); err != nil {
		t.Fatal(err)
	}
	p, s := beam.NewPipelineWithRoot()
	Build(s, o)
	if err := ptest.Run(p); err != nil {
		t.Fatal(err)
	}
	sum, err := ReadSummary(t.Context(), o.Output)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// rowsOf reads the lines of all files of an output that match.
func rowsOf(t *testing.T, output, pattern string) map[string]results.Row {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(output, pattern))
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]results.Row{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			var r results.Row
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatal(err)
			}
			if _, twice := rows[r.File]; twice {
				t.Errorf("%s is there twice", r.File)
			}
			rows[r.File] = r
		}
	}
	return rows
}

// packed is a tar file of members in the order of their names.
func packed(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	names := []string{}
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestJob: pictures by pattern, by list and in tar shards, named twice, damaged, missing: each is in the results once
// with what the front door says of it, or in the dead letters with the reason.
func TestJob(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	files, want := map[string][]byte{}, map[string]int{} // which photo is under a name
	for i := range 40 {
		name := fmt.Sprintf("in/%02d.png", i)
		files[name] = photo(t, i)
		want[filepath.Join(dir, name)] = i
	}
	shard := map[string][]byte{"a.png": photo(t, 40), "a.cls": []byte("1"), "b.png": []byte("no picture"),
		"./sub/c.png": photo(t, 41), ".hidden.png": photo(t, 42)}
	files["shard.tar"] = packed(t, shard)
	want[filepath.Join(dir, "shard.tar/a.png")], want[filepath.Join(dir, "shard.tar/sub/c.png")] = 40, 41
	first := packed(t, map[string][]byte{"a.png": photo(t, 43)})
	both := packed(t, map[string][]byte{"a.png": photo(t, 43), "b.png": photo(t, 44)})
	files["cut.tar"] = both[:len(first)-1024+512+100] // 100 bytes of b.png are left
	want[filepath.Join(dir, "cut.tar/a.png")] = 43
	files["in/damaged.png"] = photo(t, 45)[:200]
	files["in/notes.txt"] = []byte("left out")
	files["elsewhere.bin"] = photo(t, 46)
	want[filepath.Join(dir, "elsewhere.bin")] = 46
	list := strings.Join([]string{filepath.Join(dir, "elsewhere.bin"), filepath.Join(dir, "nowhere.png"), "",
		filepath.Join(dir, "in/00.png"), filepath.Join(dir, "in"), "http://example.org/a.png"}, "\r\n")
	files["list.txt"] = []byte(list)
	put(t, dir, files)
	o := Options{Settings: Settings{Model: model, Budget: adavit.Budget{Max: 0.8}, Threads: 2, Embeddings: true},
		Inputs: []string{filepath.Join(dir, "in/*"), filepath.Join(dir, "*.tar"), filepath.Join(dir, "in/01.png")},
		Lists:  []string{filepath.Join(dir, "list.txt")}, Output: out, Format: "jsonl", Shards: 4}
	sum := job(t, o)
	if sum.Images != len(want) || sum.Dead != 6 || len(sum.Files) != 5 || sum.Model != model {
		t.Errorf("the summary is %+v, want %d images and 6 dead letters in 5 files", sum, len(want))
	}

	m, err := adavit.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	c, err := adavit.NewClassifier(m, adavit.Options{Threads: 1, Embed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := rowsOf(t, out, "results-*.jsonl")
	for name, i := range want {
		r, err := c.Classify(t.Context(), modeltest.Image(t, modeltest.Fashion(t), i), o.Budget)
		if err != nil {
			t.Fatal(err)
		}
		row := got[name]
		if row.Result == nil || !slices.Equal(row.Top, r.Top) || row.Tokens != r.Tokens || row.MACs != r.MACs ||
			!slices.Equal(row.Embedding, r.Embedding) || row.Milliseconds != 0 {
			t.Errorf("%s: %+v, want %+v", name, row, r)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d results, want %d", len(got), len(want))
	}
	dead := rowsOf(t, out, "dead.jsonl")
	if r := dead["http://example.org/a.png"]; !strings.Contains(r.Error, "http:// is not known here") {
		t.Errorf("the dead letter of an address says %q", r.Error)
	}
	for name, reason := range map[string]string{"in/damaged.png": "png", "shard.tar/b.png": "not an image",
		"cut.tar": "the rest of the archive cannot be read", "nowhere.png": "no such file", "in": "is a folder"} {
		if r := dead[filepath.Join(dir, name)]; !strings.Contains(r.Error, reason) {
			t.Errorf("the dead letter of %s says %q, want %q", name, r.Error, reason)
		}
	}
	if left, err := filepath.Glob(filepath.Join(out, ".*")); err != nil || left != nil {
		t.Errorf("left over: %q, %v", left, err)
	}
	if err := Empty(t.Context(), out); err == nil || !strings.Contains(err.Error(), "holds results already") {
		t.Errorf("a second job there: %v", err)
	}
}

// TestFolderIsNoInput: a folder's pictures are named by a pattern, which the error gives.
func TestFolderIsNoInput(t *testing.T) {
	dir := t.TempDir()
	o := Options{Inputs: []string{dir}, Output: t.TempDir(), Format: "jsonl", Shards: 1}
	if err := o.Check(); !errors.Is(err, adavit.ErrUsage) || !strings.Contains(err.Error(), filepath.Join(dir, "*")) {
		t.Errorf("error %v", err)
	}
	if o.Inputs[0] += "/*"; o.Check() != nil {
		t.Errorf("its pictures: %v", o.Check())
	}
}
