package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/adavit/adavit/internal/filetest"
)

// TestHubRefusesContent: what is not what the hub announced gets no name in the cache.
func TestHubRefusesContent(t *testing.T) {
	text := strings.Repeat("weights ", 1000)
	send := func(header string, value, body string) func(w http.ResponseWriter, r *http.Request, f hubFile) bool {
		return func(w http.ResponseWriter, r *http.Request, f hubFile) bool {
			if header != "" {
				w.Header().Set(header, value)
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.Write([]byte(body))
			return true
		}
	}
	for _, c := range []struct {
		name  string
		atCDN func(w http.ResponseWriter, r *http.Request, f hubFile) bool
		left  bool // something stays for the next try
		says  []string
	}{
		{"wrong bytes", send("", "", strings.ToUpper(text)), false, []string{"checksum is ", ", want "}},
		{"too short", send("", "", text[1:]), false,
			[]string{"wrong size: 7999 bytes are offered, 8000 were announced"}},
		{"too long", send("", "", text+"x"), false, []string{"wrong size: 8001 bytes are offered"}},
		{"too long without a length", func(w http.ResponseWriter, r *http.Request, f hubFile) bool {
			w.(http.Flusher).Flush()
			w.Write([]byte(text + text))
			return true
		}, false, []string{"more than the 8000 bytes"}},
		{"gzip", send("Content-Encoding", "gzip", text), false, []string{`encoded as "gzip"`}},
		{"always cut",
			func(w http.ResponseWriter, r *http.Request, f hubFile) bool { cutAfter(w, r, f, 1000); return true }, true,
			[]string{"3000 bytes have come and are kept"}},
		{"nothing comes", func(w http.ResponseWriter, r *http.Request, f hubFile) bool { panic(http.ErrAbortHandler) },
			false, []string{"EOF"}},
		{"404 there", func(w http.ResponseWriter, r *http.Request, f hubFile) bool { http.NotFound(w, r); return true },
			false, []string{"answers 404 Not Found"}},
		{"403 there", func(w http.ResponseWriter, r *http.Request, f hubFile) bool { w.WriteHeader(403); return true },
			false, []string{"answers 403 Forbidden"}},
		{"always 416", func(w http.ResponseWriter, r *http.Request, f hubFile) bool { w.WriteHeader(416); return true },
			false, []string{"416"}},
		{"loop", func(w http.ResponseWriter, r *http.Request, f hubFile) bool {
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
			return true
		}, false, []string{"more than 6 redirects"}},
		{"file", func(w http.ResponseWriter, r *http.Request, f hubFile) bool {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(302)
			return true
		}, false, []string{`redirects to "file:///etc/passwd", which is no web address`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			large := hubFile{text, true}
			f := newFakeHub(t, map[string]hubFile{"config.json": {content: "{}"}, "model.safetensors": large})
			h := f.client()
			f.atCDN = c.atCDN
			_, err := h.Model(t.Context(), testRepo, "main")
			filetest.WantError(t, err, append(c.says, "hf:owner/model-x@main: model.safetensors: ")...)
			want := []string{f.files[commit1]["config.json"].etag()}
			if c.left {
				want = append(want, large.etag()+".incomplete")
			}
			slices.Sort(want)
			filetest.Names(t, filepath.Dir(incomplete(h, large)), want...)
			if n := len(f.took()); n > 20 {
				t.Errorf("%d requests", n)
			}
		})
	}
	t.Run("a small file's wrong bytes", func(t *testing.T) {
		f := newFakeHub(t, modelFiles())
		h := f.client()
		f.atHub = func(w http.ResponseWriter, r *http.Request, _, file string) bool {
			if r.Method == http.MethodGet {
				w.Write([]byte(`{"model_type":"vil"}`))
			}
			return r.Method == http.MethodGet
		}
		_, err := h.Model(t.Context(), testRepo, "main")
		filetest.WantError(t, err, "config.json: the download's checksum is")
	})
}

// TestHubRefusesAnswer: what a hub says of a file before it is downloaded.
func TestHubRefusesAnswer(t *testing.T) {
	for _, c := range []struct {
		name   string
		header map[string]string
		fault  string
	}{
		{"ETag leads out", map[string]string{"X-Linked-Etag": `"../../../x"`}, "cannot name a file"},
		{"ETag hidden", map[string]string{"X-Linked-Etag": `".x"`}, "cannot name a file"},
		{"ETag of a temporary file", map[string]string{"X-Linked-Etag": `"x.incomplete"`}, "cannot name a file"},
		{"ETag long", map[string]string{"X-Linked-Etag": strings.Repeat("a", 200)}, "cannot name a file"},
		{"no ETag", map[string]string{"X-Linked-Etag": "", "Etag": ""}, "gives no ETag"},
		{"commit leads out", map[string]string{"X-Repo-Commit": "../../../../../../../../../../../../../../"},
			"without a commit"},
		{"no commit", map[string]string{"X-Repo-Commit": "", "Location": ""}, "without a commit"},
		// asked there, without the token
		{"no commit but elsewhere", map[string]string{"X-Repo-Commit": ""}, "answers 403 Forbidden"},
		{"size negative", map[string]string{"X-Linked-Size": "-1"}, `its size is "-1"`},
		{"size beyond 2^63", map[string]string{"X-Linked-Size": "9223372036854775808"},
			`its size is "9223372036854775808"`},
		{"size beyond the limit", map[string]string{"X-Linked-Size": "16777217"},
			"config.json: 16777217 bytes, at most 16777216"},
		{"neither sum nor size", map[string]string{"X-Linked-Etag": `"opaque"`, "X-Linked-Size": ""},
			"neither a checksum nor a size"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeHub(t, modelFiles())
			h := f.client()
			f.atHub = func(w http.ResponseWriter, r *http.Request, _, _ string) bool {
				if r.Method == http.MethodGet {
					w.(http.Flusher).Flush()
					w.Write([]byte("content of no known length"))
					return true
				}
				header := map[string]string{"X-Repo-Commit": commit1,
					"X-Linked-Etag": `"x"`, "X-Linked-Size": "20", "Location": f.cdn.URL}
				for k, v := range c.header {
					header[k] = v
				}
				for k, v := range header {
					if v != "" {
						w.Header().Set(k, v)
					}
				}
				w.WriteHeader(http.StatusFound)
				return true
			}
			_, err := h.Model(t.Context(), testRepo, "main")
			filetest.WantError(t, err, c.fault)
			filepath.WalkDir(h.Cache, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, ".lock") &&
					d.Name() != "CACHEDIR.TAG" {
					t.Errorf("%s was written", path)
				}
				return nil
			})
		})
	}
	t.Run("another commit", func(t *testing.T) {
		f := newFakeHub(t, modelFiles())
		f.refs[commit2] = commit1
		_, err := f.client().Model(t.Context(), testRepo, commit2)
		filetest.WantError(t, err, "answers with another commit")
	})
}

// TestHubOpaqueETag: an ETag that is no checksum leaves the size as the only check, and the size may be told by either
// answer.
func TestHubOpaqueETag(t *testing.T) {
	for _, headSize := range []string{"20", ""} {
		for _, body := range []string{`{"model_type":"vit"}`, `{"model_type":`} {
			f := newFakeHub(t, modelFiles())
			h := f.client()
			f.atHub = func(w http.ResponseWriter, r *http.Request, _, file string) bool {
				if file != "config.json" {
					return false
				}
				w.Header().Set("X-Repo-Commit", commit1)
				w.Header().Set("ETag", `W/"opaque-1"`)
				w.Header().Set("X-Linked-Size", headSize)
				if headSize == "" {
					w.Header().Del("X-Linked-Size")
				}
				if r.Method == http.MethodHead {
					w.(http.Flusher).Flush()
					return true
				}
				w.Header().Set("Content-Length", "20")
				w.Write([]byte(body))
				return true
			}
			dir, err := h.Model(t.Context(), testRepo, "main")
			if len(body) == 20 {
				if err != nil {
					t.Errorf("size %q: %v", headSize, err)
				} else {
					filetest.Content(t, filepath.Join(dir, "config.json"), body)
					filetest.Content(t, repoCache{h.Cache, testRepo}.blob("opaque-1"), body)
				}
			} else {
				filetest.WantError(t, err, "config.json: ", "unexpected EOF")
			}
		}
	}
}

// TestHubTries: failures that pass are borne, but not for ever.
func TestHubTries(t *testing.T) {
	for _, c := range []struct{ failures, requests int }{{2, 3}, {3, 3}} {
		f := newFakeHub(t, modelFiles())
		h := f.client()
		n := 0
		f.atHub = func(w http.ResponseWriter, r *http.Request, _, file string) bool {
			if file != "model.safetensors" || r.Method != http.MethodHead {
				return false
			}
			if n++; n <= c.failures {
				w.WriteHeader(http.StatusBadGateway)
			}
			return n <= c.failures
		}
		_, err := h.Model(t.Context(), testRepo, "main")
		if c.failures < h.timing.tries && err != nil {
			t.Error(err)
		}
		if c.failures >= h.timing.tries {
			filetest.WantError(t, err, "502 Bad Gateway")
		}
		if n != c.requests {
			t.Errorf("%d failures: %d requests, want %d", c.failures, n, c.requests)
		}
	}
}

// TestHubTogether: several that want the same model at once download it once, and wait for one another.
func TestHubTogether(t *testing.T) {
	files := modelFiles()
	f := newFakeHub(t, files)
	h := f.client()
	f.atCDN = func(http.ResponseWriter, *http.Request, hubFile) bool {
		time.Sleep(50 * time.Millisecond)
		return false
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			dir, err := h.Model(t.Context(), testRepo, "main")
			if err != nil {
				t.Error(err)
				return
			}
			wantModel(t, dir, files, "config.json", "model.safetensors", "preprocessor_config.json")
		})
	}
	wg.Wait()
	n := 0
	for _, s := range f.took() {
		if s == "cdn GET model.safetensors" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("downloaded %d times", n)
	}
}

// TestHubLocked: a lock that another process holds is waited for, but not against the user's will.
func TestHubLocked(t *testing.T) {
	files := modelFiles()
	f := newFakeHub(t, files)
	h := f.client()
	cache := repoCache{h.Cache, testRepo}
	etag := files["config.json"].etag()
	if err := cache.prepare(etag); err != nil {
		t.Fatal(err)
	}
	unlock, err := lockFile(t.Context(), slog.New(slog.DiscardHandler), cache.lock(etag))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := h.Model(ctx, testRepo, "main"); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "locking") {
		t.Errorf("%v, want one of the lock", err)
	}
	unlock()
	if _, err := h.Model(t.Context(), testRepo, "main"); err != nil {
		t.Error(err)
	}
}
