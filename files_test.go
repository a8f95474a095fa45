package adavit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/internal/modeltest"
)

// TestClassifyFrom: a picture that a reader gives is the same picture, and its errors have its name.
func TestClassifyFrom(t *testing.T) {
	img := modeltest.Image(t, modeltest.Fashion(t), 3)
	c, err := NewClassifier(modeltest.Small(t, true), Options{Threads: 1, Embed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	o := FileOptions{Budget: Budget{Max: 0.8}}
	want, err := c.Classify(t.Context(), img, o.Budget)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.ClassifyFrom(t.Context(), "x", bytes.NewReader(b.Bytes()), o)
	if err != nil || r.File != "x" || !slices.Equal(r.Top, want.Top) || len(want.Embedding) != c.config.Embed ||
		!slices.Equal(r.Embedding, want.Embedding) {
		t.Errorf("%+v of a reader, want %+v: %v", r, want, err)
	}
	_, err = c.ClassifyFrom(t.Context(), "x", bytes.NewReader(b.Bytes()[:99]), o)
	if err == nil || !strings.Contains(err.Error(), "x: ") {
		t.Errorf("a damaged picture of a reader gives %v", err)
	}
}

// TestFiles: results in order, a bad file among them, as Classify gives them.
func TestFiles(t *testing.T) {
	dir, d := t.TempDir(), modeltest.Fashion(t)
	c := newTestClassifier(t, modeltest.Small(t, true), 2)
	var names []string
	for i := range 25 {
		names = append(names, filepath.Join(dir, fmt.Sprintf("%02d.png", i)))
		if i == 7 {
			if err := os.WriteFile(names[i], []byte("no picture"), 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		f, err := os.Create(names[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(png.Encode(f, modeltest.Image(t, d, i)), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	i := 0
	for f, err := range c.Files(t.Context(), FileOptions{Budget: Budget{Max: 0.8}}, dir) {
		if f.File != names[i] {
			t.Errorf("place %d: %s, want %s", i, f.File, names[i])
		}
		if bad := i == 7; bad != (err != nil) || bad && !strings.Contains(err.Error(), names[i]) {
			t.Errorf("%s: %v", f.File, err)
		} else if !bad {
			want, err := c.Classify(t.Context(), modeltest.Image(t, d, i), Budget{Max: 0.8})
			if err != nil || !slices.Equal(f.Top, want.Top) || f.Tokens != want.Tokens || f.Took <= 0 {
				t.Errorf("%s: %+v, want %+v (%v)", f.File, f, want, err)
			}
		}
		i++
	}
	if i != len(names) {
		t.Errorf("%d results, want %d", i, len(names))
	}
	// Pixels only where they are asked for. A loop that ends early ends what is ahead, too.
	want := make([]byte, 28*28)
	if err := d.Pixels(want, 0); err != nil {
		t.Fatal(err)
	}
	for _, keep := range []bool{true, false} {
		for f, err := range c.Files(t.Context(), FileOptions{Pixels: keep}, dir) {
			if err != nil || keep && !slices.Equal(f.Pixels, want) || !keep && f.Pixels != nil {
				t.Errorf("pixels asked for: %t; %d came, %v", keep, len(f.Pixels), err)
			}
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for f, err := range c.Files(ctx, FileOptions{}, dir) {
		cancel()
		if last = err; f.File == "" {
			break
		}
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("cancelled: %v", last)
	}
	for name, o := range map[string]FileOptions{"list": {List: filepath.Join(dir, "none")},
		"budget": {Budget: Budget{Max: 7}}} {
		n := 0
		for f, err := range c.Files(t.Context(), o, dir) {
			if n++; err == nil || f.File != "" {
				t.Errorf("%s: %+v, %v", name, f, err)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d results", name, n)
		}
	}
}

// endless is a standard input on which nobody ever types.
type endless struct{ asked chan struct{} }

func (r endless) Read([]byte) (int, error) {
	close(r.asked)
	select {}
}

// TestFilesEnd: a reader that blocks does not outlive the context, nor a loop the classifier.
func TestFilesEnd(t *testing.T) {
	c := newTestClassifier(t, modeltest.Small(t, true), 2)
	for _, o := range []FileOptions{{}, {List: "-"}} {
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan struct{})
		o.Stdin = endless{asked}
		go func() { <-asked; cancel() }()
		names := []string{"-"}
		if o.List != "" {
			names = nil
		}
		n := 0
		for f, err := range c.Files(ctx, o, names...) {
			if n++; f.File != "" || !errors.Is(err, context.Canceled) {
				t.Errorf("%+v, %v", f, err)
			}
		}
		if n != 1 {
			t.Errorf("%d results", n)
		}
	}
	c = newTestClassifier(t, modeltest.Small(t, true), 2)
	c.Close()
	n := 0
	for f, err := range c.Files(t.Context(), FileOptions{}, "a.png", "b.png", "c.png") {
		if n++; f.File != "" || !errors.Is(err, errClosed) {
			t.Errorf("%+v, %v", f, err)
		}
	}
	if n != 1 {
		t.Errorf("%d results of a classifier that is closed", n)
	}
}
