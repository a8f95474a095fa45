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
	return readTar(name, r, take)
}

// readTar is members of an archive that is open.
func readTar(name string, r io.Reader, take func(member string, content []byte, err error) error) error {
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
		var content []byte
		switch {
		case sparse(h): // a few bytes of it would take 256 MB, and as often as it likes
			err = &damagedError{fmt.Errorf("%s: stored with holes (GNU sparse), which no picture has", member)}
		case h.Size > maxPicture:
			err = fmt.Errorf("%s: %w: %d bytes, at most %d are read", member, regular.ErrTooLarge, h.Size, maxPicture)
		default:
			if content, err = regular.ReadAll(member, archive, maxPicture); err != nil {
				return input.blame(name, err)
			}
		}
		if err := take(member, content, err); err != nil {
			return err
		}
	}
}

// sparse reports whether a file is stored without its zeros. Such files of GNU's own type are none to readTar anyhow.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
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
