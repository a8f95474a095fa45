package score

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// store is an object store that speaks enough of S3's protocol and of Google's for Beam's clients. Objects are under
// bucket/name. It fails once for every object that is read.
type store struct {
	sync.Mutex
	objects map[string][]byte
	failed  map[string]bool
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.Lock()
	defer s.Unlock()
	q, name := r.URL.Query(), strings.TrimPrefix(r.URL.Path, "/")
	bucket, upload := strings.CutPrefix(name, "upload/storage/v1/b/")
	inGoogle, listGoogle := strings.CutPrefix(name, "storage/v1/b/")
	switch {
	case upload:
		s.upload(w, r, strings.TrimSuffix(bucket, "/o"))
	case listGoogle && strings.HasSuffix(inGoogle, "/o"):
		type item struct {
			Name string `json:"name"`
		}
		items := []item{}
		for _, key := range s.list(strings.TrimSuffix(inGoogle, "/o"), q.Get("prefix")) {
			items = append(items, item{key})
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"kind": "storage#objects", "items": items})
	case q.Get("list-type") == "2":
		type item struct{ Key string }
		var result struct {
			XMLName  xml.Name `xml:"ListBucketResult"`
			Contents []item
		}
		for _, key := range s.list(strings.Trim(name, "/"), q.Get("prefix")) {
			result.Contents = append(result.Contents, item{key})
		}
		xml.NewEncoder(w).Encode(result)
	case r.Method == http.MethodPut:
		b, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.objects[name] = unchunked(r, b)
	case s.objects[name] == nil:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<Error><Code>NoSuchKey</Code></Error>")
	case !s.failed[name]:
		s.failed[name] = true
		w.Header().Set("Content-Length", fmt.Sprint(len(s.objects[name])))
		w.Write(s.objects[name][:len(s.objects[name])/2])
		panic(http.ErrAbortHandler)
	default:
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(s.objects[name]))
	}
}

// list gives the names in a bucket that begin with a prefix, in order.
func (s *store) list(bucket, prefix string) (names []string) {
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if name, ok := strings.CutPrefix(key, bucket+"/"); ok && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	return names
}

// upload takes an object in the form of Google's multipart uploads: its attributes, then its content.
func (s *store) upload(w http.ResponseWriter, r *http.Request, bucket string) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	parts := multipart.NewReader(r.Body, params["boundary"])
	var attributes struct{ Name string }
	var content []byte
	for i := range 2 {
		var p *multipart.Part
		if err == nil {
			p, err = parts.NextPart()
		}
		if err == nil && i == 0 {
			err = json.NewDecoder(p).Decode(&attributes)
		} else if err == nil {
			content, err = io.ReadAll(p)
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.objects[bucket+"/"+attributes.Name] = content
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"name": attributes.Name, "bucket": bucket})
}

// unchunked takes the signatures and checksums out of a body that Amazon's client sends in chunks.
func unchunked(r *http.Request, b []byte) (content []byte) {
	if !strings.Contains(r.Header.Get("Content-Encoding"), "aws-chunked") {
		return b
	}
	for {
		head, rest, _ := bytes.Cut(b, []byte("\r\n"))
		n := 0
		if _, err := fmt.Sscanf(string(head), "%x", &n); err != nil || n == 0 {
			return content
		}
		content, b = append(content, rest[:n]...), rest[n+2:]
	}
}

// TestObjectStores runs a job on gs:// and s3://: model, list, pictures, tar shard and output are all there. Each
// connection breaks once while an object is read.
func TestObjectStores(t *testing.T) {
	dir := t.TempDir()
	for scheme, local := range map[string]string{"gs": "g", "s3": "s"} {
		t.Run(scheme, func(t *testing.T) {
			at := &store{objects: map[string][]byte{}, failed: map[string]bool{}}
			server := httptest.NewServer(at)
			defer server.Close()
			for name, value := range map[string]string{"STORAGE_EMULATOR_HOST": server.URL, "AWS_ENDPOINT_URL": server.URL,
				"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"} {
				t.Setenv(name, value)
			}
			folder := filepath.Join(dir, local)
			saveModel(t, folder)
			for _, name := range modelFiles {
				b, err := os.ReadFile(filepath.Join(folder, name))
				if err == nil {
					at.objects["bucket/model/"+name] = b
				} else if !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
			for i := range 6 {
				at.objects[fmt.Sprintf("bucket/in/%d.png", i)] = photo(t, i)
			}
			at.objects["bucket/in/shard.tar"] = packed(t, map[string][]byte{"x.png": photo(t, 7), "y.png": nil})
			at.objects["bucket/list"] = []byte(scheme + "://bucket/none.png\n")
			root := scheme + "://bucket/"
			sum := job(t, Options{Settings: Settings{Model: root + "model"}, Inputs: []string{root + "in/*"},
				Lists: []string{root + "list"}, Output: root + "out", Format: "jsonl", Shards: 1})
			if sum.Images != 7 || sum.Dead != 2 {
				t.Errorf("%d images and %d dead letters, want 7 and 2", sum.Images, sum.Dead)
			}
			written := string(at.objects["bucket/out/results-00000-of-00001.jsonl"])
			for _, name := range []string{"in/0.png", "in/5.png", "in/shard.tar/x.png"} {
				if !strings.Contains(written, `{"file":"`+root+name+`","top":[`) {
					t.Errorf("no row for %s in %s", name, written)
				}
			}
			if dead := string(at.objects["bucket/out/dead.jsonl"]); !strings.Contains(dead, root+"none.png") ||
				!strings.Contains(dead, root+"in/shard.tar/y.png") {
				t.Errorf("the dead letters are %s", dead)
			}
			if err := Empty(t.Context(), root+"out"); err == nil {
				t.Error("a second job there is let go on")
			}
		})
	}
}

// saveModel writes a bundled model as a directory.
func saveModel(t *testing.T, dir string) {
	t.Helper()
	m, err := adavit.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	if err := vit.Save(dir, m, weights.F32); err != nil {
		t.Fatal(err)
	}
}
