package adavit

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/modeltest"
	"github.com/adavit/adavit/models"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	if err := vit.Save(dir, modeltest.Small(t, true), weights.F32); err != nil {
		t.Fatal(err)
	}
	m, err := Open(dir)
	if err != nil || m.Params.Data != nil {
		t.Fatalf("%v; the weights should still be in their file", err)
	}
	if m.Params, err = m.Params.Whole(); err != nil {
		t.Fatal(err)
	}
	if want := modeltest.Small(t, true); !reflect.DeepEqual(m, want) {
		t.Error("the model that was read differs from the one that was saved")
	}
	for _, name := range append(BundledModels(), "nowhere", "") {
		_, err := Open(name)
		if isBundled := name != "nowhere" && name != ""; isBundled != (err == nil) {
			t.Errorf("Open(%q): %v", name, err)
		} else if err != nil && !strings.Contains(err.Error(), bundled()) {
			t.Errorf("Open(%q): %v; want it to say %q", name, err, bundled())
		}
	}
	// A directory that lacks a file is not mistaken for a missing model.
	if _, err := Open(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("empty directory: %v", err)
	}
}

// TestOpenHub opens a bundled model by way of a local hub.
func TestOpenHub(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Repo-Commit", commit)
		b, err := fs.ReadFile(models.FS, "fashion-dense/"+path.Base(r.URL.Path))
		if err != nil || !strings.HasPrefix(r.URL.Path, "/owner/model/resolve/") {
			http.NotFound(w, r)
			return
		}
		blob := append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...)
		w.Header().Set("ETag", fmt.Sprintf(`W/"%x"`, sha1.Sum(blob)))
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Write(b)
	}))
	defer hub.Close()
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
		"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN_PATH"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_ENDPOINT", hub.URL)
	t.Setenv("HF_HOME", t.TempDir())

	last := ""
	o := OpenOptions{Progress: func(file string, done, total int64) { last = fmt.Sprint(file, done == total) }}
	got, err := OpenContext(t.Context(), "hf:owner/model", o)
	if err != nil {
		t.Fatal(err)
	}
	if last != "model.safetensorstrue" {
		t.Errorf("progress ended with %s", last)
	}
	want, err := Open("fashion-dense")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*Model{got, want} {
		if m.Params, err = m.Params.Whole(); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(got.Params, want.Params) {
		t.Errorf("opened %+v, want %+v", got.Params.Config, want.Params.Config)
	}
	hub.Close() // the cache is enough
	if _, err := Open("hf:owner/model@" + commit); err != nil {
		t.Errorf("again: %v", err)
	}
	for _, name := range []string{"hf:", "hf:../x", "hf:owner/model@"} {
		if _, err := Open(name); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %v, want an ErrUsage", name, err)
		}
	}
}
