package hub

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/adavit/adavit/internal/filetest"
)

const (
	testRepo = "owner/model-x"
	commit1  = "1111111111111111111111111111111111111111"
	commit2  = "2222222222222222222222222222222222222222"
)

// hubFile is one file of a repository. A large one is kept elsewhere, under its SHA-256; a small one at the hub, under
// git's hash.
type hubFile struct {
	content string
	large   bool
}

func (f hubFile) etag() string {
	if f.large {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(f.content)))
	}
	return fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(f.content), f.content)))
}

// fakeHub answers as Hugging Face's does: HEAD and GET of /OWNER/NAME/resolve/REVISION/FILE are redirected, for a small
// file to another path of the same host, for a large one to a signed address on another host.
type fakeHub struct {
	t        testing.TB
	hub, cdn *httptest.Server

	mu       sync.Mutex
	refs     map[string]string             // revision → commit
	files    map[string]map[string]hubFile // commit → name → file
	requests []string                      // "hub HEAD main/config.json", "cdn GET model.safetensors from 100"

	atHub func(w http.ResponseWriter, r *http.Request, revision, file string) bool // true: it has answered
	atCDN func(w http.ResponseWriter, r *http.Request, f hubFile) bool
	token string // required if not ""
}

func newFakeHub(t testing.TB, files map[string]hubFile) *fakeHub {
	f := &fakeHub{t: t, refs: map[string]string{"main": commit1, commit1: commit1},
		files: map[string]map[string]hubFile{commit1: files}}
	f.cdn = httptest.NewServer(http.HandlerFunc(f.serveCDN))
	f.hub = httptest.NewServer(http.HandlerFunc(f.serveHub))
	t.Cleanup(func() { f.hub.Close(); f.cdn.Close() })
	return f
}

// client is a Hub that uses f, with little patience, and a fresh cache.
func (f *fakeHub) client() Hub {
	quick := timing{answer: 5 * time.Second, stall: 5 * time.Second,
		backoff: time.Millisecond, longest: 20 * time.Millisecond, tries: 3}
	return Hub{Endpoint: f.hub.URL, Token: f.token, Cache: f.t.(interface{ TempDir() string }).TempDir(), timing: quick}
}

func (f *fakeHub) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, fmt.Sprintf(format, args...))
}

// took returns the requests since it was last asked.
func (f *fakeHub) took() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := f.requests
	f.requests = nil
	return list
}

func (f *fakeHub) refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Error-Code", code)
	w.Header().Set("X-Error-Message", message)
	w.WriteHeader(status)
}

func (f *fakeHub) serveHub(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Accept-Encoding") != "identity" {
		f.t.Errorf("%s: Accept-Encoding %q", r.URL, r.Header.Get("Accept-Encoding"))
	}
	if f.token != "" && r.Header.Get("Authorization") != "Bearer "+f.token {
		f.refuse(w, http.StatusUnauthorized, "RepoNotFound", "Repository not found")
		return
	}
	if f.token == "" && r.Header.Get("Authorization") != "" {
		f.t.Errorf("%s: a token that was not given", r.URL)
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/api/resolve-cache/models/"+testRepo+"/"); ok {
		commit, name, _ := strings.Cut(rest, "/")
		file := f.files[commit][name]
		w.Header().Set("X-Repo-Commit", commit)
		w.Header().Set("ETag", `W/"`+file.etag()+`"`)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(file.content))
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	if len(parts) != 5 || parts[0]+"/"+parts[1] != testRepo || parts[2] != "resolve" {
		f.refuse(w, http.StatusUnauthorized, "RepoNotFound", "Repository not found")
		return
	}
	revision, _ := url.PathUnescape(parts[3])
	name := parts[4]
	from := ""
	if s := r.Header.Get("Range"); s != "" {
		from = " " + s
	}
	f.note("hub %s %s/%s%s", r.Method, revision, name, from)
	if f.atHub != nil && f.atHub(w, r, revision, name) {
		return
	}
	f.mu.Lock()
	commit, known := f.refs[revision]
	file, found := f.files[commit][name]
	f.mu.Unlock()
	if !known {
		f.refuse(w, http.StatusNotFound, "RevisionNotFound", "Invalid rev id: "+revision)
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	if !found {
		f.refuse(w, http.StatusNotFound, "EntryNotFound", "Entry not found")
		return
	}
	if !file.large {
		http.Redirect(w, r, "/api/resolve-cache/models/"+testRepo+"/"+commit+"/"+name, http.StatusTemporaryRedirect)
		return
	}
	w.Header().Set("X-Linked-Size", fmt.Sprint(len(file.content)))
	w.Header().Set("X-Linked-ETag", `"`+file.etag()+`"`)
	w.Header().Set("ETag", `"of-the-redirect"`)
	w.Header().Set("Location", f.cdn.URL+"/"+commit+"/"+name+"?Signature=secret")
	w.WriteHeader(http.StatusFound)
}

func (f *fakeHub) serveCDN(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		f.t.Errorf("the token went to another host: %s", r.URL)
	}
	commit, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	from := ""
	if s := r.Header.Get("Range"); s != "" {
		from = " " + s
	}
	f.note("cdn %s %s%s", r.Method, name, from)
	if r.URL.RawQuery != "Signature=secret" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	file := f.files[commit][name]
	if f.atCDN != nil && f.atCDN(w, r, file) {
		return
	}
	w.Header().Set("ETag", `"another-etag"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(file.content))
}

// cutAfter answers as ServeContent does but breaks the connection after n bytes of the body.
func cutAfter(w http.ResponseWriter, r *http.Request, f hubFile, n int) {
	http.ServeContent(&cutting{w, n}, r, "", time.Time{}, strings.NewReader(f.content))
}

type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(b []byte) (int, error) {
	if len(b) <= c.left {
		c.left -= len(b)
		return c.ResponseWriter.Write(b)
	}
	c.ResponseWriter.Write(b[:c.left])
	c.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// modelFiles is a repository with a large file for weights.
func modelFiles() map[string]hubFile {
	return map[string]hubFile{
		"config.json":              {content: `{"model_type":"vit"}`},
		"preprocessor_config.json": {content: `{"size":224}`},
		"model.safetensors":        {content: strings.Repeat("weights ", 100_000), large: true},
		"README.md":                {content: "not asked for"},
	}
}

// wantModel checks that a snapshot holds these files of a repository and nothing else.
func wantModel(t *testing.T, dir string, files map[string]hubFile, names ...string) {
	t.Helper()
	slices.Sort(names)
	filetest.Names(t, dir, names...)
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(b, []byte(files[name].content)) {
			t.Errorf("%s: %d bytes, %v; want the %d bytes of the repository",
				name, len(b), err, len(files[name].content))
		}
	}
}

func wantRequests(t *testing.T, f *fakeHub, want ...string) {
	t.Helper()
	if got := f.took(); !slices.Equal(got, want) {
		t.Errorf("requests\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}
