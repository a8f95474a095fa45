package hub

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

// TestHubStatus: what a user is told to do about an answer that is no success.
func TestHubStatus(t *testing.T) {
	for _, c := range []struct {
		name, token   string
		status        int
		code, message string
		requests      int
		says          []string
	}{
		{"misspelt or private", "", 401, "RepoNotFound", "Repository not found", 1, []string{
			"/owner/model-x does not exist or is private", "set HF_TOKEN", `401 Unauthorized: "Repository not found"`}},
		{"misspelt or private, with a token", "secret", 404,
			"RepoNotFound", "", 1, []string{"does not exist or is private", "see that the token"}},
		{"bad token", "secret", 401, "", "Invalid credentials in Authorization header",
			1, []string{"see that the token", "Invalid credentials"}},
		{"gated", "", 401, "GatedRepo", "Access to model is restricted",
			1, []string{"accept the terms at http://127.0.0.1", "/owner/model-x while logged in", "set HF_TOKEN"}},
		{"gated, with a token", "secret", 403, "GatedRepo", "", 1, []string{"accept the terms", "see that the token"}},
		{"forbidden", "secret", 403, "", "", 1, []string{"access is forbidden", "see that the token"}},
		{"no revision", "", 404, "RevisionNotFound", "", 1,
			[]string{"/owner/model-x has no branch, tag or commit main"}},
		{"no config", "", 404, "EntryNotFound", "", 1, []string{"/owner/model-x has no config.json"}},
		{"a mirror's 404", "", 404, "", "", 1, []string{"revision main, file config.json: no such thing"}},
		{"teapot", "", 418, "", "\"short\" and " + strings.Repeat("stout ", 1000),
			1, []string{"the hub answers (418 I'm a teapot", `\"short\" and stout`}},
		{"broken header", "", 418, "", "\x7f" + strings.Repeat("stout ", 1000), 3, []string{"malformed MIME header"}},
		{"redirect to nowhere", "", 302, "", "", 1, []string{"without a commit"}},
		{"too busy", "", 503, "", "", 3, []string{"503 Service Unavailable", "has nothing of this repository"}},
		{"too many", "", 429, "", "", 3, []string{"429 Too Many Requests", "has nothing of this repository"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeHub(t, modelFiles())
			f.token = c.token
			f.atHub = func(w http.ResponseWriter, r *http.Request, _, _ string) bool {
				if c.code != "" {
					w.Header().Set("X-Error-Code", c.code)
				}
				w.Header().Set("X-Error-Message", c.message)
				w.WriteHeader(c.status)
				return true
			}
			_, err := f.client().Model(t.Context(), testRepo, "")
			filetest.WantError(t, err, append(c.says, "hf:owner/model-x@main: ")...)
			if n := len(f.took()); n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
		})
	}
}

// TestHubMirror: an endpoint with a path that sends everybody on to the hub itself, which gets no token of the
// mirror's.
func TestHubMirror(t *testing.T) {
	files := modelFiles()
	delete(files, "preprocessor_config.json")
	f := newFakeHub(t, files)
	h := f.client()
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%s: Authorization %q", r.URL, r.Header.Get("Authorization"))
		}
		http.Redirect(w, r, f.hub.URL+strings.TrimPrefix(r.URL.EscapedPath(), "/hf"), http.StatusPermanentRedirect)
	}))
	defer mirror.Close()
	h.Endpoint, h.Token = mirror.URL+"/hf/", "secret"
	dir, err := h.Model(t.Context(), testRepo, "")
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, dir, files, "config.json", "model.safetensors")
}

// TestHubEncrypted: from an encrypted connection no redirect leads to one that is not.
func TestHubEncrypted(t *testing.T) {
	f := newFakeHub(t, modelFiles())
	h := f.client()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, f.hub.URL+r.URL.EscapedPath(), http.StatusTemporaryRedirect)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	h.Endpoint, h.Client, h.Token = server.URL, server.Client(), "hf_x"
	_, err := h.Model(t.Context(), testRepo, "")
	filetest.WantError(t, err, "which is not encrypted")
	wantRequests(t, f)

	h.Client = nil // and one whose certificate nobody vouches for is not asked twice
	_, err = h.Model(t.Context(), testRepo, "")
	filetest.WantError(t, err, "certificate")
	wantRequests(t, f)
}

// TestHubRefuses: what is wrong before any request.
func TestHubRefuses(t *testing.T) {
	f := newFakeHub(t, modelFiles())
	for _, c := range []struct {
		change         func(h *Hub)
		repo, revision string
		fault          string
	}{
		{func(h *Hub) { h.Endpoint = "huggingface.co" }, testRepo, "", "is not a URL like https://huggingface.co"},
		{func(h *Hub) { h.Endpoint = "file:///etc" }, testRepo, "", "is not a URL"},
		{func(h *Hub) { h.Endpoint = "http://" }, testRepo, "", "is not a URL"},
		{func(h *Hub) { h.Endpoint = "http://a b" }, testRepo, "", "is not a URL"},
		{func(h *Hub) { h.Endpoint = "http://x?y" }, testRepo, "", "is not a URL"},
		{func(h *Hub) { h.Token = "secret\nX-Other: 1" }, testRepo, "", "characters that no token has"},
		{func(h *Hub) { h.Cache = "" }, testRepo, "", "no cache directory"},
		{func(h *Hub) {}, "../x", "", "not a repository's owner"},
		{func(h *Hub) {}, "owner", "", "not a repository"},
		{func(h *Hub) {}, testRepo, "../x", "not the name of a branch"},
	} {
		h := f.client()
		c.change(&h)
		_, err := h.Model(t.Context(), c.repo, c.revision)
		filetest.WantError(t, err, "hub: ", c.fault)
	}
	wantRequests(t, f)
}

func TestSameOrigin(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"https://huggingface.co/x", "https://HuggingFace.co:443/y", true},
		{"http://h", "http://h:80/", true},
		{"https://h", "http://h", false},
		{"http://h", "http://h:81", false},
		{"https://huggingface.co", "https://cdn.huggingface.co", false},
		{"https://huggingface.co", "https://huggingface.co.evil.example", false},
		{"https://huggingface.co", "https://huggingface.co@evil.example", false},
	} {
		a, err := url.Parse(c.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := url.Parse(c.b)
		if err != nil {
			t.Fatal(err)
		}
		if got := sameOrigin(a, b); got != c.want {
			t.Errorf("%s and %s: %t", a, b, got)
		}
	}
}

func TestContentRange(t *testing.T) {
	for s, want := range map[string][3]int64{
		"bytes 0-0/1": {0, 0, 1}, "bytes 5-9/10": {5, 9, 10}, "bytes 5-9/*": {5, 9, -1}, "bytes */10": {-1, -1, 10},
		"": {-1, -1, -1}, "bytes": {-1, -1, -1}, "items 0-1/2": {-1, -1, -1},
		"bytes 5-4/10": {-1, -1, 10}, "bytes 5-10/10": {-1, -1, 10},
		"bytes -5-9/10": {-1, -1, 10}, "bytes 5-99999999999999999999/*": {-1, -1, -1}, "bytes +1-2/3": {-1, -1, 3},
	} {
		begin, end, total := contentRange(s)
		if got := [3]int64{begin, end, total}; got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}

func TestCleanETag(t *testing.T) {
	for s, want := range map[string]string{`"abc"`: "abc", `W/"abc"`: "abc",
		"abc": "abc", `"Wx"`: "Wx", `W/"W-1"`: "W-1", "": "", `""`: "", `"a/b"`: "", `"a"b"`: "", "W/": ""} {
		if got, err := cleanETag(s); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", s, got, err)
		}
	}
}
