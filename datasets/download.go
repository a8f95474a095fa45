package datasets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/hub"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/regular"
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
	{"train-images-idx3-ubyte.gz", 64 << 20, 60000 * 28 * 28,
		"c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
	{"train-labels-idx1-ubyte.gz", 1 << 20, 60000, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"},
}

// fetch reads the file from dir, and downloads it first if it is missing or damaged. Only a file whose sum is right
// ever gets its final name there.
func (f download) fetch(dir string, log *slog.Logger) (data.IDX, error) {
	path := filepath.Join(dir, f.name)
	if b, err := regular.Read(path, f.limit); err == nil {
		x, err := f.check(path, b)
		if err == nil {
			return x, nil
		}
		log.Warn("the cached file is damaged and will be downloaded again", "error", err)
	}
	urls := fashionURLs
	if u := os.Getenv(fashionURLVariable); u != "" {
		urls = []string{u}
	}
	var failed []error
	for _, base := range urls {
		url := strings.TrimSuffix(base, "/") + "/" + f.name
		log.Info("downloading", "url", url, "to", path)
		b, err := get(url, f.limit)
		var x data.IDX
		if err == nil {
			x, err = f.check(url, b)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if err := errors.Join(os.MkdirAll(dir, 0o755), atomicfile.WriteFile(path, b)); err != nil {
			// The pictures are good all the same; the next run downloads again.
			log.Warn("cannot keep the download", "error", err)
		}
		return x, nil
	}
	return data.IDX{}, fmt.Errorf("download: %w", errors.Join(failed...))
}

// check unpacks b and compares the content's SHA-256.
func (f download) check(name string, b []byte) (data.IDX, error) {
	x, err := data.ReadIDXLimit(bytes.NewReader(b), f.size)
	if err != nil {
		return data.IDX{}, fmt.Errorf("%s: %w", name, err)
	}
	content := []byte{0, 0, 8, byte(len(x.Dims))}
	for _, d := range x.Dims {
		content = binary.BigEndian.AppendUint32(content, uint32(d))
	}
	content = append(content, x.Data...)
	if sum := fmt.Sprintf("%x", sha256.Sum256(content)); sum != f.sha256 {
		return data.IDX{}, fmt.Errorf("%s: SHA-256 of the content is %s, want %s", name, sum, f.sha256)
	}
	return x, nil
}

// get is the body of url, at most limit bytes.
func get(url string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), downloadTimeout)
	defer cancel()
	return hub.Get(ctx, url, limit)
}
