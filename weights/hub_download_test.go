package weights

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// incomplete is where a download of a repository's file is kept while it is not whole.
func incomplete(h Hub, f hubFile) string {
	return repoCache{h.Cache, testRepo}.blob(f.etag()) + ".incomplete"
}

// leave puts something where an earlier run would have left it.
func leave(t *testing.T, h Hub, f hubFile, content string) {
	t.Helper()
	path := incomplete(h, f)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestHubResume: whatever an earlier run left and however the line behaves, the file that comes out is the right one.
func TestHubResume(t *testing.T) {
	files := modelFiles()
	large := files["model.safetensors"]
	size := len(large.content)
	always := func(answer func(w http.ResponseWriter, r *http.Request, f hubFile)) func(int, http.ResponseWriter, *http.Request, hubFile) bool {
		return func(_ int, w http.ResponseWriter, r *http.Request, f hubFile) bool { answer(w, r, f); return true }
	}
	for _, c := range []struct {
		name   string
		left   string // in .incomplete
		answer func(n int, w http.ResponseWriter, r *http.Request, f hubFile) bool
		ranges []string // of the requests for content
	}{
		{name: "half there", left: large.content[:300_000], ranges: []string{"bytes=300000-"}},
		{name: "all there", left: large.content},
		{name: "more than all", left: large.content + "x", ranges: []string{""}},
		{name: "another file's bytes", left: strings.Repeat("?", 1000), ranges: []string{"bytes=1000-", ""}},
		{name: "whole but wrong", left: strings.Repeat("?", size), ranges: []string{""}},
		{name: "cut twice", ranges: []string{"", "bytes=250000-", "bytes=500000-"},
			answer: func(n int, w http.ResponseWriter, r *http.Request, f hubFile) bool {
				if n < 2 {
					cutAfter(w, r, f, 250_000)
				}
				return false
			}},
		{name: "ends early without an error", ranges: []string{"", "bytes=1000-"},
			answer: func(n int, w http.ResponseWriter, r *http.Request, f hubFile) bool {
				if n == 0 {
					w.(http.Flusher).Flush() // chunked: no length
					w.Write([]byte(f.content[:1000]))
				}
				return n == 0
			}},
		{name: "no ranges", left: large.content[:1000], ranges: []string{"bytes=1000-"},
			answer: always(func(w http.ResponseWriter, _ *http.Request, f hubFile) { w.Write([]byte(f.content)) })},
		{name: "416", left: large.content[:1000], ranges: []string{"bytes=1000-", ""},
			answer: func(n int, w http.ResponseWriter, _ *http.Request, _ hubFile) bool {
				if n == 0 {
					w.Header().Set("Content-Range", "bytes */500")
					w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				}
				return n == 0
			}},
		{name: "another range", left: large.content[:1000], ranges: []string{"bytes=1000-", ""},
			answer: func(n int, w http.ResponseWriter, r *http.Request, f hubFile) bool {
				if n == 0 {
					w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", size-1, size))
					w.WriteHeader(http.StatusPartialContent)
					w.Write([]byte(f.content))
				}
				return n == 0
			}},
		{name: "range without a range", left: large.content[:1000], ranges: []string{"bytes=1000-", ""},
			answer: func(n int, w http.ResponseWriter, r *http.Request, f hubFile) bool {
				if n == 0 {
					w.WriteHeader(http.StatusPartialContent)
					w.Write([]byte(f.content[1000:]))
				}
				return n == 0
			}},
		{name: "500 and an address that ran out", ranges: []string{"", "", ""},
			answer: func(n int, w http.ResponseWriter, r *http.Request, f hubFile) bool {
				if n < 2 {
					w.WriteHeader([]int{500, 403}[n])
				}
				return n < 2
			}},
		{name: "busy", ranges: []string{"", ""},
			answer: func(n int, w http.ResponseWriter, r *http.Request, f hubFile) bool {
				if n == 0 {
					w.Header().Set("Retry-After", "3600")
					w.WriteHeader(http.StatusTooManyRequests)
				}
				return n == 0
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeHub(t, files)
			h := f.client()
			if c.left != "" {
				leave(t, h, large, c.left)
			}
			n := 0
			f.atCDN = func(w http.ResponseWriter, r *http.Request, file hubFile) bool {
				n++
				return c.answer != nil && c.answer(n-1, w, r, file)
			}
			dir, err := h.Model(t.Context(), testRepo, "main")
			if err != nil {
				t.Fatal(err)
			}
			wantModel(t, dir, files, "config.json", "model.safetensors", "preprocessor_config.json")
			var ranges []string
			for _, s := range f.took() {
				if rest, ok := strings.CutPrefix(s, "cdn GET model.safetensors"); ok {
					ranges = append(ranges, strings.TrimPrefix(rest, " "))
				}
			}
			if !slices.Equal(ranges, c.ranges) {
				t.Errorf("ranges %q, want %q", ranges, c.ranges)
			}
			wantFiles(t, filepath.Dir(incomplete(h, large)), slices.Sorted(slices.Values([]string{
				files["config.json"].etag(), files["preprocessor_config.json"].etag(), large.etag()}))...)
		})
	}
}

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
		{"too short", send("", "", text[1:]), false, []string{"wrong size: 7999 bytes are offered, 8000 were announced"}},
		{"too long", send("", "", text+"x"), false, []string{"wrong size: 8001 bytes are offered"}},
		{"too long without a length", func(w http.ResponseWriter, r *http.Request, f hubFile) bool {
			w.(http.Flusher).Flush()
			w.Write([]byte(text + text))
			return true
		}, false, []string{"more than the 8000 bytes"}},
		{"gzip", send("Content-Encoding", "gzip", text), false, []string{`encoded as "gzip"`}},
		{"always cut", func(w http.ResponseWriter, r *http.Request, f hubFile) bool { cutAfter(w, r, f, 1000); return true }, true,
			[]string{"3000 bytes have come and are kept"}},
		{"nothing comes", func(w http.ResponseWriter, r *http.Request, f hubFile) bool { panic(http.ErrAbortHandler) }, false, []string{"EOF"}},
		{"404 there", func(w http.ResponseWriter, r *http.Request, f hubFile) bool { http.NotFound(w, r); return true }, false, []string{"answers 404 Not Found"}},
		{"403 there", func(w http.ResponseWriter, r *http.Request, f hubFile) bool { w.WriteHeader(403); return true }, false, []string{"answers 403 Forbidden"}},
		{"always 416", func(w http.ResponseWriter, r *http.Request, f hubFile) bool { w.WriteHeader(416); return true }, false, []string{"416"}},
		{"loop", func(w http.ResponseWriter, r *http.Request, f hubFile) bool {
			http.Redirect(w, r, r.URL.String(), 302)
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
			wantError(t, err, append(c.says, "hf:owner/model-x@main: model.safetensors: ")...)
			want := []string{f.files[commit1]["config.json"].etag()}
			if c.left {
				want = append(want, large.etag()+".incomplete")
			}
			slices.Sort(want)
			wantFiles(t, filepath.Dir(incomplete(h, large)), want...)
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
		wantError(t, err, "config.json: the download's checksum is")
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
		{"commit leads out", map[string]string{"X-Repo-Commit": "../../../../../../../../../../../../../../"}, "without a commit"},
		{"no commit", map[string]string{"X-Repo-Commit": "", "Location": ""}, "without a commit"},
		{"no commit but elsewhere", map[string]string{"X-Repo-Commit": ""}, "answers 403 Forbidden"}, // asked there, without the token
		{"size negative", map[string]string{"X-Linked-Size": "-1"}, `its size is "-1"`},
		{"size beyond 2^63", map[string]string{"X-Linked-Size": "9223372036854775808"}, `its size is "9223372036854775808"`},
		{"size beyond the limit", map[string]string{"X-Linked-Size": "16777217"}, "config.json: 16777217 bytes, at most 16777216"},
		{"neither sum nor size", map[string]string{"X-Linked-Etag": `"opaque"`, "X-Linked-Size": ""}, "neither a checksum nor a size"},
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
				header := map[string]string{"X-Repo-Commit": commit1, "X-Linked-Etag": `"x"`, "X-Linked-Size": "20", "Location": f.cdn.URL}
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
			wantError(t, err, c.fault)
			filepath.WalkDir(h.Cache, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() && !strings.HasSuffix(path, ".lock") && d.Name() != "CACHEDIR.TAG" {
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
		wantError(t, err, "answers with another commit")
	})
}

// TestHubOpaqueETag: an ETag that is no checksum leaves the size as the only check, and the size may be told by either answer.
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
					wantContent(t, filepath.Join(dir, "config.json"), body)
					wantContent(t, repoCache{h.Cache, testRepo}.blob("opaque-1"), body)
				}
			} else {
				wantError(t, err, "config.json: ", "unexpected EOF")
			}
		}
	}
}

// TestHubCancel: a cancelled download says so at once and is resumed by the next.
func TestHubCancel(t *testing.T) {
	files := modelFiles()
	f := newFakeHub(t, files)
	h := f.client()
	ctx, cancel := context.WithCancel(t.Context())
	f.atCDN = func(w http.ResponseWriter, r *http.Request, file hubFile) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(file.content)))
		w.Write([]byte(file.content[:300_000]))
		w.(http.Flusher).Flush()
		for { // until the bytes have been written down, which the client does not tell
			if info, err := os.Stat(incomplete(h, file)); err == nil && info.Size() == 300_000 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-r.Context().Done()
		return true
	}
	_, err := h.Model(ctx, testRepo, "main")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want one that is context.Canceled", err)
	}
	wantError(t, err, "model.safetensors", "300000 bytes have come")
	f.atCDN = nil
	f.took()
	dir, err := h.Model(t.Context(), testRepo, "main")
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, dir, files, "config.json", "model.safetensors", "preprocessor_config.json")
	if got := f.took(); got[len(got)-1] != "cdn GET model.safetensors bytes=300000-" {
		t.Errorf("last request %q", got[len(got)-1])
	}
}

// TestHubStall: a line on which nothing comes any more is given up, and the next goes on from there.
func TestHubStall(t *testing.T) {
	files := modelFiles()
	f := newFakeHub(t, files)
	h := f.client()
	h.timing.stall = 100 * time.Millisecond
	stop := make(chan struct{})
	n := 0
	f.atCDN = func(w http.ResponseWriter, r *http.Request, file hubFile) bool {
		if n++; n > 1 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(file.content)))
		w.Write([]byte(file.content[:1000]))
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-stop:
		}
		return true
	}
	defer close(stop)
	dir, err := h.Model(t.Context(), testRepo, "main")
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, dir, files, "config.json", "model.safetensors", "preprocessor_config.json")
	if n != 2 {
		t.Errorf("%d requests for the weights", n)
	}

	h.timing.answer = 50 * time.Millisecond // no answer to a HEAD at all
	f.atHub = func(w http.ResponseWriter, r *http.Request, _, _ string) bool { <-r.Context().Done(); return true }
	begin := time.Now()
	_, err = h.Model(t.Context(), testRepo, "other")
	wantError(t, err, "no answer in time")
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("given up after %s", d)
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
			wantError(t, err, "502 Bad Gateway")
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
	unlock, err := lockFile(t.Context(), cache.lock(etag))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := h.Model(ctx, testRepo, "main"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "locking") {
		t.Errorf("%v, want one of the lock", err)
	}
	unlock()
	if _, err := h.Model(t.Context(), testRepo, "main"); err != nil {
		t.Error(err)
	}
}
