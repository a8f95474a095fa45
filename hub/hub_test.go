package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/weights"
)

// TestHubModel downloads a model, looks at the cache and asks again.
func TestHubModel(t *testing.T) {
	files := modelFiles()
	f := newFakeHub(t, files)
	f.token = "hf_secret"
	h := f.client()
	var reports []string
	h.Progress = func(file string, done, total int64) {
		if done == total {
			reports = append(reports, fmt.Sprint(file, " ", total))
		}
	}
	dir, err := h.Model(t.Context(), testRepo, "")
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, dir, files, "config.json", "model.safetensors", "preprocessor_config.json")
	wantRequests(t, f, "hub HEAD main/config.json", "hub GET "+commit1+"/config.json",
		"hub HEAD "+commit1+"/preprocessor_config.json", "hub GET "+commit1+"/preprocessor_config.json",
		"hub HEAD "+commit1+"/model.safetensors", "hub GET "+commit1+"/model.safetensors", "cdn GET model.safetensors")
	if s := strings.Join(reports, ", "); s != "config.json 20, preprocessor_config.json 12, model.safetensors 800000" {
		t.Errorf("progress ended with %s", s)
	}

	repo := filepath.Join(h.Cache, "models--owner--model-x")
	if want := filepath.Join(repo, "snapshots", commit1); dir != want {
		t.Errorf("directory %s, want %s", dir, want)
	}
	filetest.Names(t, h.Cache, ".locks", "CACHEDIR.TAG", "models--owner--model-x")
	filetest.Names(t, repo, "blobs", "refs", "snapshots")
	filetest.Content(t, filepath.Join(repo, "refs", "main"), commit1)
	for _, name := range []string{"config.json", "model.safetensors", "preprocessor_config.json"} {
		etag := files[name].etag()
		filetest.Content(t, filepath.Join(repo, "blobs", etag), files[name].content)
		if link, err := os.Readlink(filepath.Join(dir, name)); runtime.GOOS != "windows" &&
			link != "../../blobs/"+etag {
			t.Errorf("%s is a link to %q, %v", name, link, err)
		}
		if _, err := os.Stat(filepath.Join(h.Cache, ".locks", "models--owner--model-x", etag+".lock")); err != nil {
			t.Error(err)
		}
	}

	for _, c := range []struct {
		revision string
		requests []string
	}{
		{"main", []string{"hub HEAD main/config.json"}},
		{commit1, nil},
	} {
		again, err := h.Model(t.Context(), testRepo, c.revision)
		if err != nil || again != dir {
			t.Errorf("%s again: %s, %v", c.revision, again, err)
		}
		wantRequests(t, f, c.requests...)
	}
	h.Offline, h.Endpoint = true, "http://127.0.0.1:1"
	if again, err := h.Model(t.Context(), testRepo, "main"); err != nil || again != dir {
		t.Errorf("offline: %s, %v", again, err)
	}
}

// TestHubFiles: which files are taken, and which requests the knowledge of those that do not exist saves.
func TestHubFiles(t *testing.T) {
	index := hubFile{content: `{"metadata":{},"weight_map":` +
		`{"a":"model-1.safetensors","b":"model-2.safetensors","c":"model-1.safetensors"}}`}
	config, pickle := hubFile{content: "{}"}, hubFile{content: strings.Repeat("pickle", 1000), large: true}
	one, two := hubFile{content: "one", large: true}, hubFile{content: "two", large: true}
	for _, c := range []struct {
		name  string
		files map[string]hubFile
		want  []string
		fault string
	}{
		{name: "shards", files: map[string]hubFile{"config.json": config, weights.IndexFile: index,
			"model-1.safetensors": one, "model-2.safetensors": two, "pytorch_model.bin": pickle},
			want: []string{"config.json", "model-1.safetensors", "model-2.safetensors", weights.IndexFile}},
		{name: "one file before shards", files: map[string]hubFile{"config.json": config,
			"model.safetensors": one, weights.IndexFile: index, "model-1.safetensors": one, "model-2.safetensors": two},
			want: []string{"config.json", "model.safetensors"}},
		{name: "pickle", files: map[string]hubFile{"config.json": config, "pytorch_model.bin": pickle},
			want: []string{"config.json", "pytorch_model.bin"}},
		{name: "shards of pickles", files: map[string]hubFile{"config.json": config,
			weights.PytorchIndexFile: {content: `{"weight_map":{"a":"p-1.bin","b":"p-2.bin"}}`}, "p-1.bin": one, "p-2.bin": two},
			want: []string{"config.json", "p-1.bin", "p-2.bin", weights.PytorchIndexFile}},
		{name: "small weights", files: map[string]hubFile{"config.json": config,
			"model.safetensors": {content: "small"}}, want: []string{"config.json", "model.safetensors"}},
		{name: "empty file", files: map[string]hubFile{"config.json": {}, "model.safetensors": one},
			want: []string{"config.json", "model.safetensors"}},
		{name: "no weights", files: map[string]hubFile{"config.json": config, "tf_model.h5": one},
			fault: "has none of model.safetensors"},
		{name: "no config", files: map[string]hubFile{"model.safetensors": one}, fault: "has no config.json"},
		{name: "shard missing", files: map[string]hubFile{"config.json": config,
			weights.IndexFile: index, "model-1.safetensors": one}, fault: "has no model-2.safetensors"},
		{name: "shard elsewhere", files: map[string]hubFile{"config.json": config, weights.IndexFile: {
			content: `{"weight_map":{"a":"../../../x.safetensors"}}`}}, fault: "not a plain file name"},
		{name: "shard as config", files: map[string]hubFile{"config.json": config,
			weights.IndexFile: {content: `{"weight_map":{"a":"config.json"}}`}}, fault: "not a .safetensors file"},
		{name: "index broken", files: map[string]hubFile{"config.json": config, weights.IndexFile: {content: `{`}},
			fault: "unexpected end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeHub(t, c.files)
			h := f.client()
			dir, err := h.Model(t.Context(), testRepo, "main")
			if c.fault != "" {
				filetest.WantError(t, err, c.fault, "hf:owner/model-x@main")
				if _, err := os.Stat(filepath.Join(h.Cache, "models--owner--model-x", "refs")); err == nil {
					t.Error("a ref to a commit that is not whole")
				}
				h.Offline = true
				_, err := h.Model(t.Context(), testRepo, "main")
				filetest.WantError(t, err, "offline")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			wantModel(t, dir, c.files, c.want...)
			f.took()
			if again, err := h.Model(t.Context(), testRepo, commit1); err != nil || again != dir {
				t.Errorf("again: %s, %v", again, err)
			}
			wantRequests(t, f)
		})
	}
}

// TestHubMovingBranch: a branch that moves on takes only what is new, and means the old commit until the new one is
// whole.
func TestHubMovingBranch(t *testing.T) {
	f := newFakeHub(t, modelFiles())
	f.refs["refs/pr/7"] = commit1
	h := f.client()
	old, err := h.Model(t.Context(), testRepo, "refs/pr/7")
	if err != nil {
		t.Fatal(err)
	}
	f.took()
	next := modelFiles()
	next["model.safetensors"] = hubFile{content: strings.Repeat("better weights ", 50_000), large: true}
	f.files[commit2], f.refs["refs/pr/7"], f.refs[commit2] = next, commit2, commit2

	f.atCDN = func(w http.ResponseWriter, r *http.Request, file hubFile) bool {
		cutAfter(w, r, file, 10_000)
		return true
	}
	_, err = h.Model(t.Context(), testRepo, "refs/pr/7")
	filetest.WantError(t, err, "model.safetensors: ", "30000 bytes have come")
	offline := h
	offline.Offline = true
	if dir, err := offline.Model(t.Context(), testRepo, "refs/pr/7"); err != nil || dir != old {
		t.Errorf("half way: %s, %v; want the old commit", dir, err)
	}
	f.took()

	f.atCDN = nil
	dir, err := h.Model(t.Context(), testRepo, "refs/pr/7")
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, dir, next, "config.json", "model.safetensors", "preprocessor_config.json")
	wantRequests(t, f, "hub HEAD refs/pr/7/config.json", "hub HEAD "+commit2+"/preprocessor_config.json",
		"hub HEAD "+commit2+"/model.safetensors",
		"hub GET "+commit2+"/model.safetensors bytes=30000-", "cdn GET model.safetensors bytes=30000-")
	filetest.Content(t, filepath.Join(h.Cache, "models--owner--model-x", "refs", "refs", "pr", "7"), commit2)
}

// TestHubUnreachable: what the cache holds is used when the hub gives no answer about the repository, and only then.
func TestHubUnreachable(t *testing.T) {
	status := func(code int, name string) func(http.ResponseWriter, *http.Request, string, string) bool {
		return func(w http.ResponseWriter, r *http.Request, _, _ string) bool {
			if name != "" {
				w.Header().Set("X-Error-Code", name)
			}
			w.WriteHeader(code)
			return true
		}
	}
	for _, c := range []struct {
		name  string
		atHub func(http.ResponseWriter, *http.Request, string, string) bool
		falls bool
	}{
		{"no server", nil, true},
		{"503", status(503, ""), true},
		{"500", status(500, ""), true},
		{"429", status(429, ""), true},
		{"login page", func(w http.ResponseWriter, r *http.Request,
			_, _ string) bool {
			fmt.Fprint(w, "<html>")
			return true
		}, true},
		{"broken connection",
			func(http.ResponseWriter, *http.Request, string, string) bool { panic(http.ErrAbortHandler) }, true},
		{"401", status(401, "RepoNotFound"), false},
		{"403", status(403, "GatedRepo"), false},
		{"404", status(404, "RevisionNotFound"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFakeHub(t, modelFiles())
			h := f.client()
			dir, err := h.Model(t.Context(), testRepo, "main")
			if err != nil {
				t.Fatal(err)
			}
			f.took()
			if f.atHub = c.atHub; c.atHub == nil {
				f.hub.Close()
			}
			var log bytes.Buffer
			h.Log = slog.New(slog.NewTextHandler(&log, nil))
			got, err := h.Model(t.Context(), testRepo, "main")
			if warned := strings.Contains(log.String(), "may not be the newest"); warned != c.falls {
				t.Errorf("logged: %s", &log)
			}
			if !c.falls {
				filetest.WantError(t, err, "hf:owner/model-x@main: ")
			} else if err != nil || got != dir {
				t.Errorf("%s, %v; want the cached model", got, err)
			}
			// one, but a kept connection that turns out broken is tried twice by the standard client
			if n := len(f.took()); n > 2 {
				t.Errorf("%d requests, though the cache has it all", n)
			}
			if c.falls { // another revision is not in the cache: both reasons are told
				_, err = h.Model(t.Context(), testRepo, "other")
				filetest.WantError(t, err, "does not know this revision (it knows main, "+commit1+")", f.hub.URL)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := h.Model(ctx, testRepo, "main"); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
		})
	}
}

// TestHubOffline: what is missing is said.
func TestHubOffline(t *testing.T) {
	index := `{"weight_map":{"a":"m1.safetensors","b":"m2.safetensors"}}`
	for _, c := range []struct {
		name, revision string
		files          map[string]string // below the repository's folder
		faults         []string          // none: it can be used
	}{
		{"nothing", "main", nil, []string{"has nothing of this repository"}},
		{"no ref", "main", map[string]string{"refs/dev": commit1},
			[]string{"does not know this revision (it knows dev)"}},
		{"bad ref", "main", map[string]string{"refs/main": "../../.."},
			[]string{"refs", `holds "../../..", which is no commit`}},
		{"long ref", "main", map[string]string{"refs/main": strings.Repeat("1", 4000)},
			[]string{"at most 1024 are read"}},
		{"ref is a folder", "a", map[string]string{"refs/a/b": commit1}, []string{"not a regular file"}},
		{"no snapshot", "main", map[string]string{"refs/main": commit1},
			[]string{commit1 + " lacks config.json, model.safetensors"}},
		{"no config", commit1, map[string]string{"S/model.safetensors": ""}, []string{"lacks config.json"}},
		{"no weights", commit1, map[string]string{"S/config.json": ""}, []string{"lacks model.safetensors"}},
		{"no shard", commit1, map[string]string{"S/config.json": "", "S/" + weights.IndexFile: index,
			"S/m1.safetensors": "", "S/pytorch_model.bin": ""}, []string{"lacks m2.safetensors"}},
		{"bad index", commit1, map[string]string{"S/config.json": "", "S/" + weights.IndexFile: "x"},
			[]string{"lacks " + weights.IndexFile}},
		{"short commit", commit1[:7], map[string]string{"S/config.json": "", "S/model.safetensors": ""},
			[]string{"does not know this revision"}},
		{"one file", "main",
			map[string]string{"refs/main": commit1 + "\n", "S/config.json": "", "S/model.safetensors": ""}, nil},
		{"shards", commit1, map[string]string{"S/config.json": "",
			"S/" + weights.IndexFile: index, "S/m1.safetensors": "", "S/m2.safetensors": ""}, nil},
		{"pickle", commit1, map[string]string{"S/config.json": "", "S/pytorch_model.bin": ""}, nil},
		{"no shard of pickles", commit1, map[string]string{"S/config.json": "",
			"S/" + weights.PytorchIndexFile: `{"weight_map":{"a":"p-1.bin"}}`}, []string{"lacks p-1.bin"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := Hub{Endpoint: "http://127.0.0.1:1", Cache: t.TempDir(), Offline: true}
			leaveCache(t, h, c.files)
			dir, err := h.Model(t.Context(), testRepo, c.revision)
			if c.faults != nil {
				filetest.WantError(t, err,
					append(c.faults, "offline mode (HF_HUB_OFFLINE)", "hf:owner/model-x@"+c.revision)...)
			} else if err != nil || dir != filepath.Join(h.Cache, "models--owner--model-x", "snapshots", commit1) {
				t.Errorf("%s, %v", dir, err)
			}
		})
	}
}

// TestHubPartOfAnother: another program left a part of a model that would do where there is no hub. Online it is made
// good.
func TestHubPartOfAnother(t *testing.T) {
	for _, c := range []struct {
		name string
		left map[string]string // below the repository's folder
		link string            // a file of the snapshot that links to a blob that is gone
	}{
		{"pickle instead of safetensors", map[string]string{"S/config.json": `{"model_type":"vit"}`,
			"S/preprocessor_config.json": `{"size":224}`, "S/pytorch_model.bin": ""}, ""},
		{"no preprocessor", map[string]string{"S/config.json": `{"model_type":"vit"}`,
			"S/model.safetensors": modelFiles()["model.safetensors"].content}, ""},
		{"blob gone", map[string]string{"S/model.safetensors": modelFiles()["model.safetensors"].content},
			"config.json"},
		{"blob cut", map[string]string{"blobs/" + modelFiles()["model.safetensors"].etag(): "weights"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := modelFiles()
			f := newFakeHub(t, files)
			h := f.client()
			cache := repoCache{h.Cache, testRepo}
			leaveCache(t, h, c.left)
			if c.link != "" {
				if err := os.Symlink("../../blobs/gone", cache.file(commit1, c.link)); err != nil {
					t.Skip(err)
				}
			}
			dir, err := h.Model(t.Context(), testRepo, commit1)
			if err != nil {
				t.Fatal(err)
			}
			names := []string{"config.json", "model.safetensors", "preprocessor_config.json"}
			if _, ok := c.left["S/pytorch_model.bin"]; ok {
				files["pytorch_model.bin"] = hubFile{}
				names = append(names, "pytorch_model.bin")
			}
			wantModel(t, dir, files, names...)
		})
	}
}

// leaveCache puts files into the repository's part of the cache; S stands for commit1's snapshot.
func leaveCache(t *testing.T, h Hub, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(h.Cache, "models--owner--model-x",
			strings.Replace(name, "S/", "snapshots/"+commit1+"/", 1))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHubWithoutLinks: where no links can be made a new blob becomes the file, and one that is there already is copied.
func TestHubWithoutLinks(t *testing.T) {
	symlink = func(string, string) error { return errors.ErrUnsupported }
	defer func() { symlink = os.Symlink }()
	files := modelFiles()
	f := newFakeHub(t, files)
	h := f.client()
	config := files["config.json"]
	blob := repoCache{h.Cache, testRepo}.blob(config.etag())
	if err := os.MkdirAll(filepath.Dir(blob), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blob, []byte(config.content), 0o666); err != nil {
		t.Fatal(err)
	}
	dir, err := h.Model(t.Context(), testRepo, "main")
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, dir, files, "config.json", "model.safetensors", "preprocessor_config.json")
	filetest.Names(t, filepath.Dir(blob), config.etag())
	for _, name := range []string{"config.json", "model.safetensors"} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
