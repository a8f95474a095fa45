package page

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestIndex: the page is one document, whose policy allows its style and its script and nothing else, and which needs
// nothing that the policy forbids.
func TestIndex(t *testing.T) {
	html := string(Index())
	policy := ContentSecurityPolicy()
	for name, kind := range map[string]string{"script": "script-src", "style": "style-src"} {
		found := regexp.MustCompile(`(?s)<`+name+`[ >][^>]*>?(.*?)</`+name+`>`).FindAllStringSubmatch(html, -1)
		if len(found) != 1 {
			t.Fatalf("%d elements %s, want one", len(found), name)
		}
		text := found[0][0]
		text = strings.TrimSuffix(text[strings.IndexByte(text, '>')+1:], "</"+name+">")
		sum := sha256.Sum256([]byte(text))
		want := kind + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		if !strings.Contains("; "+policy+";", "; "+want+";") {
			t.Errorf("the policy %s\nhas not %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'; ") {
		t.Errorf("the policy is not strict: %s", policy)
	}
	for _, bad := range []string{"{{", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
		"Function(", ` style="`, ` onclick="`, "localStorage", "sessionStorage", "document.cookie",
		" src=\"http", "@import", "url("} {
		if strings.Contains(html, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, address := range regexp.MustCompile(`https?://[^"'\s]*`).FindAllString(html, -1) {
		if address != "http://www.w3.org/2000/svg" { // a name, which nobody asks for
			t.Errorf("the page names %s", address)
		}
	}
}

// TestServe: the headers that go with the page and the description, and the answer to a client that has them.
func TestServe(t *testing.T) {
	for name, c := range map[string]struct {
		serve http.HandlerFunc
		kind  string
		body  []byte
		csp   bool
	}{
		"page":        {ServeIndex, "text/html; charset=utf-8", Index(), true},
		"description": {ServeOpenAPI, "application/yaml", OpenAPI(), false},
	} {
		ask := func(verb, etag string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(verb, "/", nil)
			if etag != "" {
				r.Header.Set("If-None-Match", etag)
			}
			w := httptest.NewRecorder()
			c.serve(w, r)
			return w
		}
		w := ask(http.MethodGet, "")
		h := w.Header()
		if w.Code != http.StatusOK || w.Body.String() != string(c.body) || h.Get("Content-Type") != c.kind ||
			h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d, %d bytes, %v", name, w.Code, w.Body.Len(), h)
		}
		if csp := h.Get("Content-Security-Policy"); (csp != "") != c.csp || c.csp && csp != ContentSecurityPolicy() {
			t.Errorf("%s: Content-Security-Policy %q", name, csp)
		}
		if w := ask(http.MethodGet, h.Get("ETag")); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
			t.Errorf("%s: %d and %d bytes for a client that has it", name, w.Code, w.Body.Len())
		}
		if w := ask(http.MethodGet, `"older"`); w.Code != http.StatusOK {
			t.Errorf("%s: %d for a client that has an older one", name, w.Code)
		}
		if w := ask(http.MethodHead, ""); w.Code != http.StatusOK || w.Body.Len() > 0 {
			t.Errorf("%s: HEAD gives %d and %d bytes", name, w.Code, w.Body.Len())
		}
	}
}

// TestReadable holds the page's sources to what the program's have to be.
func TestReadable(t *testing.T) {
	names, err := filepath.Glob("web/*")
	if err != nil || len(names) < 5 {
		t.Fatalf("%d sources: %v", len(names), err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) > 400 {
			t.Errorf("%s has %d lines, want 400 at most", name, len(lines))
		}
		for i, line := range lines {
			if n := utf8.RuneCountInString(line); n > 120 && !strings.HasPrefix(line, `<link rel="icon"`) {
				t.Errorf("%s:%d has %d characters, want 120 at most", name, i+1, n)
			}
		}
	}
}
