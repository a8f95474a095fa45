package datasets

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/filetest"
)

func TestFashionMNISTTest(t *testing.T) {
	d, err := FashionMNISTTest()
	if err != nil {
		t.Fatal(err)
	}
	c, h, w := d.Size()
	if d.Len() != 10000 || c != 1 || h != 28 || w != 28 || len(d.Classes()) != 10 {
		t.Fatalf("%d pictures of [%d %d %d], %d classes", d.Len(), c, h, w, len(d.Classes()))
	}
	var count [10]int
	sum := sha256.New()
	sum.Write([]byte{0, 0, 8, 3, 0, 0, 0x27, 0x10, 0, 0, 0, 28, 0, 0, 0, 28})
	pixels := make([]byte, 784)
	for i := range d.Len() {
		count[d.Label(i)]++
		if err := d.Pixels(pixels, i); err != nil {
			t.Fatal(err)
		}
		sum.Write(pixels)
	}
	for l, n := range count {
		if n != 1000 {
			t.Errorf("%d pictures of class %s, want 1000", n, d.Classes()[l])
		}
	}
	// The sum of the original's content.
	if got := hex.EncodeToString(
		sum.Sum(nil)); got != "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b" {
		t.Errorf("pixels have the sum %s", got)
	}
	if d.Label(0) != 9 || d.Classes()[9] != "Ankle boot" {
		t.Errorf("the first picture is a %s", d.Classes()[d.Label(0)])
	}
}

// noFashion hides what this machine has of the training images: the Debian package, the cache, the authors' servers.
func noFashion(t *testing.T, url string) (cache string) {
	t.Helper()
	old := fashionDebDir
	t.Cleanup(func() { fashionDebDir = old })
	fashionDebDir = filepath.Join(t.TempDir(), "none")
	home := t.TempDir()
	for _, variable := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(variable, home)
	}
	t.Setenv(fashionURLVariable, url)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func TestFashionDownload(t *testing.T) {
	images, labels := filetest.IDX(bytes.Repeat([]byte{7}, 2*784), 2, 28, 28), filetest.IDX([]byte{9, 0}, 2)
	sum := func(b []byte) string {
		s := sha256.Sum256(b)
		return hex.EncodeToString(s[:])
	}
	old := fashionFiles
	t.Cleanup(func() { fashionFiles = old })
	fashionFiles[0].size, fashionFiles[0].sha256 = 2*784, sum(images)
	fashionFiles[1].size, fashionFiles[1].sha256 = 2, sum(labels)
	fashionFiles[0].limit, fashionFiles[1].limit = 4096, 4096

	served := map[string][]byte{
		"/mirror/train-images-idx3-ubyte.gz": filetest.Gzip(t, images),
		"/mirror/train-labels-idx1-ubyte.gz": filetest.Gzip(t, labels),
	}
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		b, ok := served[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if _, err := w.Write(b); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	cache := noFashion(t, server.URL+"/mirror")
	dir := filepath.Join(cache, "adavit", "fashion-mnist")
	cached := filepath.Join(dir, "train-images-idx3-ubyte.gz")
	open := func(wantRequests int) {
		t.Helper()
		requests = 0
		d, err := Open("fashion-mnist", data.Train, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d.Len() != 2 || d.Label(0) != 9 || len(d.Classes()) != 10 || requests != wantRequests {
			t.Errorf("%d pictures, %d requests, want 2 and %d", d.Len(), requests, wantRequests)
		}
	}
	open(2)
	open(0) // from the cache
	if err := os.Truncate(cached, 30); err != nil {
		t.Fatal(err)
	}
	open(1) // the damaged file again
	filetest.Write(t, filetest.Gzip(t, filetest.IDX(bytes.Repeat([]byte{8}, 2*784), 2, 28, 28)), cached)
	open(1) // a sound file with another content, too

	// Whatever is wrong with the answer: an error that says what to do, and nothing left in the cache.
	for want, answer := range map[string][]byte{
		"404":            nil,
		"SHA-256":        filetest.Gzip(t, filetest.IDX(bytes.Repeat([]byte{8}, 2*784), 2, 28, 28)),
		"not an IDX":     []byte("<html>Please log in</html>"),
		"more than 4096": bytes.Repeat([]byte{1}, 5000),
		"that are allow": filetest.Gzip(t, filetest.IDX(bytes.Repeat([]byte{8}, 3*784), 3, 28, 28)),
		"cut short":      filetest.Gzip(t, images)[:40],
	} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		served["/mirror/train-images-idx3-ubyte.gz"] = answer
		if answer == nil {
			delete(served, "/mirror/train-images-idx3-ubyte.gz")
		}
		_, err := Open("fashion-mnist", data.Train, nil)
		filetest.WantError(t, err, want, server.URL, "dataset-fashion-mnist", "fashion-mnist:DIR")
		if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
			t.Errorf("%s: left in the cache: %q, %v", want, left, err)
		}
	}
	// Without a server.
	server.Close()
	_, err := Open("fashion-mnist", data.Train, nil)
	filetest.WantError(t, err, server.URL, "dataset-fashion-mnist")
}

func TestFashionFolder(t *testing.T) {
	noFashion(t, "http://127.0.0.1:1/")
	dir := t.TempDir()
	_, err := Open("fashion-mnist:"+dir, data.Train, nil)
	filetest.WantError(t, err, filepath.Join(dir, "train-images-idx3-ubyte"), "not exist")
	filetest.Write(t, filetest.IDX(make([]byte, 784), 1, 28, 28), dir, "train-images-idx3-ubyte")
	filetest.Write(t, filetest.IDX([]byte{3}, 1), dir, "train-labels-idx1-ubyte")
	d, err := Open("fashion-mnist:"+dir, data.Train, nil)
	if err != nil || d.Len() != 1 || d.Classes()[d.Label(0)] != "Dress" {
		t.Errorf("%v, %v", d, err)
	}
	if d, err := Open("fashion-mnist:"+dir, data.Test, nil); err != nil || d.Len() != 10000 {
		t.Errorf("%v, %v", d, err)
	}
	filetest.Write(t, filetest.IDX([]byte{10}, 1), dir, "train-labels-idx1-ubyte")
	_, err = Open("fashion-mnist:"+dir, data.Train, nil)
	filetest.WantError(t, err, "label 10", "train-labels-idx1-ubyte")
	filetest.Write(t, filetest.IDX(make([]byte, 900), 1, 30, 30), dir, "train-images-idx3-ubyte")
	_, err = Open("fashion-mnist:"+dir, data.Train, nil)
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
	_, err = data.Open("fashion-mnist:"+filepath.Join(dir, "none"), data.Test)
	filetest.WantError(t, err, "none")
	_, err = Open("fashion-mnist:", data.Train, nil)
	filetest.WantError(t, err, "no folder")
}

// TestOpenPartsFashion: the parts of a named data set, the training images from a folder.
func TestOpenPartsFashion(t *testing.T) {
	dir := t.TempDir()
	filetest.Write(t, filetest.IDX(make([]byte, 3*28*28), 3, 28, 28), dir, "train-images-idx3-ubyte")
	filetest.Write(t, filetest.IDX([]byte{1, 9, 9}, 3), dir, "train-labels-idx1-ubyte")
	source, err := Find("fashion-mnist:"+dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := data.PartsOf("fashion-mnist:"+dir, source, 0, 1)
	if err != nil || p.Train.Len() != 2 || p.Validation.Len() != 1 || p.Validation.Label(0) != 9 ||
		p.Test.Len() != 10000 || !slices.Equal(p.Train.Classes(), fashionClasses) {
		t.Fatalf("%+v %v", p, err)
	}
	if _, err = Find("fashion-mnist:", nil); err == nil || errors.Is(err, data.ErrDamaged) {
		t.Error(err)
	}
}
