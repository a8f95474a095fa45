package hub

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hubVariables are all that Default looks at.
var hubVariables = []string{"HF_ENDPOINT", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE",
	"HF_HOME", "XDG_CACHE_HOME", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH",
	"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"}

func TestDefaultHub(t *testing.T) {
	home := t.TempDir()
	write := func(content string, path ...string) {
		full := filepath.Join(append([]string{home}, path...)...)
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(" hf_file\r\n", ".cache", "huggingface", "token")
	write("hf_other\n", "other", "token")
	write("\n", "empty")
	write(strings.Repeat("x", maxToken+1), "long")
	const std = "https://huggingface.co"
	for _, c := range []struct {
		env                    string
		endpoint, token, cache string // cache below home
		offline                bool
	}{
		{"", std, "hf_file", ".cache/huggingface/hub", false},
		{"HF_ENDPOINT=http://h/x//", "http://h/x", "hf_file", ".cache/huggingface/hub", false},
		{"HF_TOKEN= hf_env ", std, "hf_env", ".cache/huggingface/hub", false},
		{"HF_TOKEN=|HUGGING_FACE_HUB_TOKEN=hf_legacy", std, "hf_legacy", ".cache/huggingface/hub", false},
		{"HF_TOKEN=hf_env|HUGGING_FACE_HUB_TOKEN=hf_legacy", std, "hf_env", ".cache/huggingface/hub", false},
		{"HF_TOKEN=hf_env|HF_HUB_DISABLE_IMPLICIT_TOKEN=true", std, "", ".cache/huggingface/hub", false},
		{"HF_TOKEN_PATH=~/other/token", std, "hf_other", ".cache/huggingface/hub", false},
		{"HF_TOKEN_PATH=~/empty", std, "", ".cache/huggingface/hub", false},
		{"HF_TOKEN_PATH=~/long", std, "", ".cache/huggingface/hub", false},
		{"HF_TOKEN_PATH=~/gone", std, "", ".cache/huggingface/hub", false},
		{"HF_TOKEN_PATH=~", std, "", ".cache/huggingface/hub", false},
		{"HF_HOME=~/other", std, "hf_other", "other/hub", false},
		{"HF_HOME=$HOME/${UNSET_BY_TEST}", std, "", "${UNSET_BY_TEST}/hub", false},
		{"XDG_CACHE_HOME=${HOME}/xdg", std, "", "xdg/huggingface/hub", false},
		{"XDG_CACHE_HOME=~/xdg|HF_HOME=~/other", std, "hf_other", "other/hub", false},
		{"HF_HUB_CACHE=~/cache|HF_HOME=~/other|HUGGINGFACE_HUB_CACHE=/x", std, "hf_other", "cache", false},
		{"HUGGINGFACE_HUB_CACHE=~/legacy", std, "hf_file", "legacy", false},
		{"HF_HUB_OFFLINE=1", std, "hf_file", ".cache/huggingface/hub", true},
		{"HF_HUB_OFFLINE=yes", std, "hf_file", ".cache/huggingface/hub", true},
		{"HF_HUB_OFFLINE=0|TRANSFORMERS_OFFLINE=1", std, "hf_file", ".cache/huggingface/hub", false},
		{"TRANSFORMERS_OFFLINE=On", std, "hf_file", ".cache/huggingface/hub", true},
		{"HF_HUB_OFFLINE=no", std, "hf_file", ".cache/huggingface/hub", false},
	} {
		t.Run(c.env, func(t *testing.T) {
			for _, name := range hubVariables {
				t.Setenv(name, "")
			}
			t.Setenv("HOME", home)
			t.Setenv("USERPROFILE", home)
			for pair := range strings.SplitSeq(c.env, "|") {
				if name, value, ok := strings.Cut(pair, "="); ok {
					t.Setenv(name, value)
				}
			}
			h := Default()
			if want := filepath.Join(home, filepath.FromSlash(c.cache)); h.Endpoint != c.endpoint ||
				h.Token != c.token || h.Cache != want || h.Offline != c.offline {
				t.Errorf("%+v\nwant endpoint %s, token %q, cache %s, offline %t",
					h, c.endpoint, c.token, want, c.offline)
			}
		})
	}
}

func TestParseHubReference(t *testing.T) {
	commit := strings.Repeat("0a", 20)
	for s, want := range map[string][2]string{
		"hf:facebook/deit-tiny-patch16-224":         {"facebook/deit-tiny-patch16-224", "main"},
		"hf:timm/vit_tiny_patch16_224.augreg_in21k": {"timm/vit_tiny_patch16_224.augreg_in21k", "main"},
		"hf:o/n@v1.0":        {"o/n", "v1.0"},
		"hf:o/n@refs/pr/1":   {"o/n", "refs/pr/1"},
		"hf:_o_/n@" + commit: {"_o_/n", commit},
		"hf:" + strings.Repeat("a", 96) + "/b@a_b-c.d": {strings.Repeat("a", 96) + "/b", "a_b-c.d"},
	} {
		repo, revision, ok, err := ParseReference(s)
		if repo != want[0] || revision != want[1] || !ok || err != nil {
			t.Errorf("%s: %q %q %t %v", s, repo, revision, ok, err)
		}
	}
	for _, s := range []string{"", "hf", "HF:o/n", "owner/name", "./hf:o/n", "fashion-dense", "/x/hf:", " hf:o/n"} {
		if repo, revision, ok, err := ParseReference(s); repo+revision != "" || ok || err != nil {
			t.Errorf("%s: %q %q %t %v", s, repo, revision, ok, err)
		}
	}
	for _, s := range []string{"hf:", "hf:n", "hf:/n", "hf:o/", "hf:o/n/x",
		"hf:o//n", "hf://o/n", "hf:../n", "hf:o/..", "hf:.o/n", "hf:o/n.", "hf:-o/n", "hf:o/-n", "hf:o/n--m",
		"hf:o/n..m", "hf:o/n.git", "hf:o/n\x00", "hf:o/n m", "hf:o/é", "hf:o\\n/x",
		"hf:o/n:m", "hf:o/" + strings.Repeat("a", 97), "hf:o/n@", "hf:o/n@..", "hf:o/n@a/../b", "hf:o/n@/a",
		"hf:o/n@a/", "hf:o/n@a//b", "hf:o/n@.a", "hf:o/n@a/.b", "hf:o/n@a.lock",
		"hf:o/n@a.lock/b", "hf:o/n@a b", "hf:o/n@a\\b", "hf:o/n@a:b", "hf:o/n@a@b", "hf:o/n@a?b", "hf:o/n@%2e%2e",
		"hf:o/n@-a", "hf:o/n@a.", "hf:o/n@é", "hf:o/n@" + strings.Repeat("a", 201), "hf:datasets/o/n"} {
		repo, revision, ok, err := ParseReference(s)
		if repo+revision != "" || !ok || err == nil || !strings.HasPrefix(err.Error(), "hub: ") {
			t.Errorf("%s: %q %q %t %v", s, repo, revision, ok, err)
		}
	}
}

// FuzzHubReference: what is accepted stays in its own folder of the cache, and is written again as it was read.
func FuzzHubReference(f *testing.F) {
	f.Add("hf:owner/name@refs/pr/1")
	f.Add("hf:o/../n@a/../../b")
	f.Fuzz(func(t *testing.T, s string) {
		repo, revision, ok, err := ParseReference(s)
		if !ok || err != nil {
			return
		}
		if s != "hf:"+repo+"@"+revision && (s != "hf:"+repo || revision != "main") {
			t.Fatalf("%q is %q at %q", s, repo, revision)
		}
		c := repoCache{filepath.FromSlash("/cache"), repo}
		folder := filepath.FromSlash("/cache/models--")
		if !strings.HasPrefix(c.path(), folder) || strings.ContainsAny(c.path()[len(folder):], `/\`) {
			t.Fatalf("folder %s", c.path())
		}
		if rel, err := filepath.Rel(c.path("refs"), c.ref(revision)); err != nil || filepath.ToSlash(rel) != revision {
			t.Fatalf("ref %s", c.ref(revision))
		}
	})
}
