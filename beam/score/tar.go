package score

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/picture"
)

// maxPicture bounds a picture file in bytes, as package picture does.
const maxPicture = 256 << 20

// members reads the pictures in a tar file (WebDataset's shards are such) one after the other, as SHARD.tar/MEMBER, and
// leaves out what else is in it. err is a picture's own. Damage to the archive is a *damagedError.
func members(ctx context.Context, name string, take func(member string, content []byte, err error) error) error {
	r, err := retry(ctx, func() (io.ReadCloser, error) { return openRead(ctx, name) })
	if err != nil {
		return err
	}
	defer r.Close()
	input := &watched{r: r}
	for archive := tar.NewReader(input); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return input.blame(name, err)
		}
		if h.Typeflag != tar.TypeReg || !picture.HasEnding(h.Name) || strings.HasPrefix(path.Base(h.Name), ".") {
			continue
		}
		member := name + "/" + strings.TrimPrefix(h.Name, "./")
		b, err := regular.ReadAll(member, archive, maxPicture)
		if err != nil && !errors.Is(err, regular.ErrTooLarge) {
			return input.blame(name, err)
		}
		if err := take(member, b, err); err != nil {
			return err
		}
	}
}

// watched tells errors of reading from those of what is read.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// blame returns the reader's error if there was one, else that the archive is damaged.
func (w *watched) blame(name string, err error) error {
	if w.err != nil {
		return fmt.Errorf("%s: %w", name, w.err)
	}
	return &damagedError{fmt.Errorf("%s: the rest of the archive cannot be read: %w", name, regular.CutShort(err))}
}

// damagedError is about a file's content.
type damagedError struct{ error }
