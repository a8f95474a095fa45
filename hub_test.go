package adavit

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/adavit/adavit/models"
)

// TestFetch opens a bundled model by way of a local hub.
func TestFetch(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Repo-Commit", commit)
		b, err := fs.ReadFile(models.FS, "fashion-dense/"+path.Base(r.URL.Path))
		if err != nil || !strings.HasPrefix(r.URL.Path, "/owner/model/resolve/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`W/"%x"`, sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...))))
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Write(b)
	}))
	defer hub.Close()
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN_PATH"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_ENDPOINT", hub.URL)
	t.Setenv("HF_HOME", t.TempDir())

	last := ""
	dir, err := Fetch(t.Context(), "hf:owner/model", func(file string, done, total int64) { last = fmt.Sprint(file, done == total) })
	if err != nil {
		t.Fatal(err)
	}
	if last != "model.safetensorstrue" {
		t.Errorf("progress ended with %s", last)
	}
	got, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Open("fashion-dense")
	if err != nil {
		t.Fatal(err)
	}
	if got.Params.Config.Layers != want.Params.Config.Layers || got.Params.Config.ParamCount() != want.Params.Config.ParamCount() {
		t.Errorf("opened %+v, want %+v", got.Params.Config, want.Params.Config)
	}
	hub.Close() // the cache is enough
	if again, err := Fetch(t.Context(), "hf:owner/model@"+commit, nil); err != nil || again != dir {
		t.Errorf("again: %s, %v", again, err)
	}

	for _, name := range []string{"fashion-dense", "./hf:x", "", "dir/file.pth"} {
		if same, err := Fetch(t.Context(), name, nil); err != nil || same != name {
			t.Errorf("%q becomes %q, %v", name, same, err)
		}
	}
	for _, name := range []string{"hf:", "hf:../x", "hf:owner/model@"} {
		if _, err := Fetch(t.Context(), name, nil); !errors.Is(err, ErrUsage) {
			t.Errorf("%q: %v, want an ErrUsage", name, err)
		}
	}
}
