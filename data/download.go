package data

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// fashionURLVariable names the environment variable that replaces fashionURLs.
const fashionURLVariable = "ADAVIT_FASHION_MNIST_URL"

// fashionURLs are where the data set's authors publish its files.
var fashionURLs = []string{
	"https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
	"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
}

// downloadTimeout bounds the download of one file from one place.
var downloadTimeout = 5 * time.Minute

// download is a file to be had from the network.
type download struct {
	name   string
	limit  int64  // bytes of the file as it is sent, at most
	size   int64  // bytes of the content after gunzip, without its header
	sha256 string // of the content after gunzip, which does not depend on who compressed it
}

var fashionFiles = [2]download{
	{"train-images-idx3-ubyte.gz", 64 << 20, 60000 * 28 * 28, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
	{"train-labels-idx1-ubyte.gz", 1 << 20, 60000, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
}

// fetch reads the file from dir, and downloads it first if it is missing or
// damaged. Only a file whose sum is right ever gets its final name there.
func (f download) fetch(dir string) (IDX, error) {
	path := filepath.Join(dir, f.name)
	if b, err := os.ReadFile(path); err == nil {
		if x, err := f.check(path, b); err == nil {
			return x, nil
		} else {
			slog.Warn("the cached file is damaged and will be downloaded again", "error", err)
		}
	}
	urls := fashionURLs
	if u := os.Getenv(fashionURLVariable); u != "" {
		urls = []string{u}
	}
	var failed []error
	for _, base := range urls {
		url := strings.TrimSuffix(base, "/") + "/" + f.name
		slog.Info("downloading", "url", url, "to", path)
		b, err := get(url, f.limit)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		x, err := f.check(url, b)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if err := store(path, b); err != nil {
			// The pictures are good all the same; the next run downloads again.
			slog.Warn("cannot keep the download", "error", err)
		}
		return x, nil
	}
	return IDX{}, fmt.Errorf("download: %w", errors.Join(failed...))
}

// check unpacks b and compares the content's SHA-256.
func (f download) check(name string, b []byte) (IDX, error) {
	x, err := readIDX(bytes.NewReader(b), f.size)
	if err != nil {
		return IDX{}, fmt.Errorf("%s: %w", name, err)
	}
	h := sha256.New()
	header := []byte{0, 0, 8, byte(len(x.Dims))}
	for _, d := range x.Dims {
		header = append(header, byte(d>>24), byte(d>>16), byte(d>>8), byte(d))
	}
	h.Write(header)
	h.Write(x.Data)
	if sum := hex.EncodeToString(h.Sum(nil)); sum != f.sha256 {
		return IDX{}, fmt.Errorf("%s: SHA-256 of the content is %s, want %s", name, sum, f.sha256)
	}
	return x, nil
}

// get is the body of url, at most limit bytes.
func get(url string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), downloadTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// As sent: a body that is gunzipped on the way would not be the file.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err // names the URL itself
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", url, limit)
	}
	return b, nil
}

// store writes b to path under a temporary name in the same folder and renames it.
func store(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, as it should, once renamed
	if _, err := f.Write(b); err != nil {
		f.Close()
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
