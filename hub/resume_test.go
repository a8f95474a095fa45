package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adavit/adavit/internal/filetest"
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
	always := func(answer func(w http.ResponseWriter, r *http.Request, f hubFile)) func(int,
		http.ResponseWriter, *http.Request, hubFile) bool {
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
			filetest.Names(t, filepath.Dir(incomplete(h, large)), slices.Sorted(slices.Values([]string{
				files["config.json"].etag(), files["preprocessor_config.json"].etag(), large.etag()}))...)
		})
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
	filetest.WantError(t, err, "model.safetensors", "300000 bytes have come")
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
	filetest.WantError(t, err, "no answer in time")
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("given up after %s", d)
	}
}
