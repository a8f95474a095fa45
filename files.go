package adavit

import (
	"context"
	"fmt"
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

	picture.Decoding // EXIF orientation, and the most pixels of a picture
	Budget
}

// FileResult is what became of one image file.
type FileResult struct {
	File string
	Result
	Took time.Duration // decoding, resizing, and its share of the pass that it was in
}

// Files classifies image files. names are files; directories, which stand for the images in them and below them;
// patterns of path/filepath.Match, where no file has that very name; and "-", an image on standard input.
//
// The results come in the order of the names; files are decoded ahead, while others run. An error that comes with a
// result is that file's, whose name FileResult.File is: the rest goes on. An error without a file's name is about the
// names themselves, or ctx's, and the last. To stop early, break out of the loop.
func (c *Classifier) Files(ctx context.Context, o FileOptions, names ...string) iter.Seq2[FileResult, error] {
	return func(yield func(FileResult, error) bool) {
		l, err := c.limits([]Budget{o.Budget})
		if err != nil {
			yield(FileResult{}, err)
			return
		}
		all := picture.Files{Names: names, List: o.List, Stdin: o.Stdin, Decoding: o.Decoding}
		files, err := all.Resolve()
		if err != nil {
			yield(FileResult{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // what is ahead when the loop ends early is not wanted any more
		type outcome struct {
			result   FileResult
			err      error
			panicked any // of a reader or a picture of the caller's: it is his to recover from
		}
		ahead := make(chan chan outcome, c.inFlight())
		go func() {
			defer close(ahead)
			for _, f := range files {
				place := make(chan outcome, 1)
				select {
				case ahead <- place:
				case <-ctx.Done():
					return
				}
				go func() {
					var out outcome
					defer func() {
						out.panicked = recover()
						place <- out
					}()
					out.result, out.err = c.file(ctx, l, all, f)
				}()
			}
		}()
		for place := range ahead {
			out := <-place
			if out.panicked != nil {
				panic(out.panicked)
			}
			if ctx.Err() != nil {
				break
			}
			if !yield(out.result, out.err) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(FileResult{}, err)
		}
	}
}

// file classifies one file. The error names it.
func (c *Classifier) file(ctx context.Context, l limits, all picture.Files, f picture.File) (FileResult, error) {
	result, took, err := c.classify(ctx, l, func(dst []float32) error {
		img, err := all.Decode(f)
		if err != nil {
			return err // names the file itself
		}
		if err := c.apply(dst, img); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		return nil
	})
	return FileResult{File: f.Name, Result: result, Took: took}, err
}
