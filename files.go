package adavit

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
	"time"

	"github.com/adavit/adavit/picture"
)

// FileOptions say which image files are read besides those that are named, and how.
type FileOptions struct {
	// List, if not "", is a file that lists more of them, one a line, "-" being Stdin. Its lines are files and
	// directories, not patterns.
	List  string
	Stdin io.Reader // of "-", in names and in a list

	// Choose, if not nil, is shown the files that names and List stand for before any of them is read, and returns those
	// that are to be.
	Choose func([]picture.File) []picture.File

	// Pixels has results keep their pictures as the model saw them, for who wants to show them.
	Pixels bool

	picture.Decoding // EXIF orientation, where it is not to be as the model has it, and the most pixels of a picture
	Budget
}

// FileResult is what became of one image file.
type FileResult struct {
	File string
	Result
	Took   time.Duration // decoding, resizing, and its share of the pass that it was in
	Pixels []byte        // [C, H, W] at the model's size, resized and cropped; nil if FileOptions.Pixels is false
}

// Files classifies image files. names are files; directories, which stand for the images in them and below them;
// patterns of path/filepath.Match, where no file has that very name; and "-", an image on Stdin.
//
// The results come in the order of the names; files are decoded ahead, while others run. An error that comes with a
// result is that file's, whose name FileResult.File is: the rest goes on. An error without a file's name is the last:
// it is about the names themselves, or ctx's, or says that the classifier was closed. To stop early, break out of the
// loop.
func (c *Classifier) Files(ctx context.Context, o FileOptions, names ...string) iter.Seq2[FileResult, error] {
	return func(yield func(FileResult, error) bool) {
		l, err := c.limits([]Budget{o.Budget})
		if err == nil {
			err = o.Decoding.Check()
		}
		if err != nil {
			yield(FileResult{}, err)
			return
		}
		all := picture.Files{Names: names, List: o.List, Stdin: o.Stdin,
			Decoding: c.model.Preprocessor.DecodedBy(o.Decoding).Decoding()}
		files, err := await(ctx, later(all.Resolve))
		if err != nil {
			yield(FileResult{}, err)
			return
		}
		if o.Choose != nil {
			files = o.Choose(files)
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // what is ahead when the loop ends early is not wanted any more
		ahead := make(chan (<-chan outcome[FileResult]), c.inFlight())
		go func() {
			defer close(ahead)
			for _, f := range files {
				select {
				case ahead <- later(func() (FileResult, error) {
					return c.file(ctx, l, f.Name, func() (image.Image, error) { return all.Decode(f) }, o.Pixels)
				}):
				case <-ctx.Done():
					return
				}
			}
		}()
		for next := range ahead {
			result, err := await(ctx, next)
			if errors.Is(err, errClosed) {
				yield(FileResult{}, err)
				return
			}
			if ctx.Err() != nil {
				break
			}
			if !yield(result, err) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(FileResult{}, err)
		}
	}
}

// ClassifyFrom classifies one image file that r reads, from an object store or an archive, say. name stands for it in
// errors; List, Choose and Stdin of o mean nothing here.
func (c *Classifier) ClassifyFrom(ctx context.Context, name string, r io.Reader, o FileOptions) (FileResult, error) {
	l, err := c.limits([]Budget{o.Budget})
	if err == nil {
		err = o.Decoding.Check()
	}
	if err != nil {
		return FileResult{File: name}, err
	}
	decoding := c.model.Preprocessor.DecodedBy(o.Decoding).Decoding()
	return c.file(ctx, l, name, func() (image.Image, error) { return decoding.Image(name, r) }, o.Pixels)
}

// outcome is what a function has returned.
type outcome[T any] struct {
	value T
	err   error
}

// later calls f in a goroutine of its own. A panic, of a reader of the caller's, is an error.
func later[T any](f func() (T, error)) <-chan outcome[T] {
	done := make(chan outcome[T], 1)
	go func() {
		var o outcome[T]
		defer func() {
			if p := recover(); p != nil {
				o.err = fmt.Errorf("reading images panicked: %v", p)
			}
			done <- o
		}()
		o.value, o.err = f()
	}()
	return done
}

// await waits for what later has started, or for the end of ctx: a reader that blocks holds nobody up.
func await[T any](ctx context.Context, done <-chan outcome[T]) (value T, err error) {
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		return value, ctx.Err()
	}
}

// file classifies one file, which decode reads, and, if keep is true, keeps its pixels. The error names it.
func (c *Classifier) file(ctx context.Context, l limits, name string, decode func() (image.Image, error), keep bool) (
	r FileResult, err error) {
	r.File = name
	var seen *[]byte
	if keep {
		seen = &r.Pixels
	}
	r.Result, r.Took, err = c.classify(ctx, l, func(dst []float32) error {
		img, err := decode()
		if err != nil {
			return err // names the file itself
		}
		if err := c.apply(dst, img, seen); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	return r, err
}
