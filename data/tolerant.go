package data

import (
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math"
	"sync"
	"syscall"

	"github.com/adavit/adavit/picture"
)

// ErrDamaged says that more pictures of a data set are damaged than are allowed.
var ErrDamaged = errors.New("too many damaged pictures")

// Tolerated is a Dataset that bears some pictures that cannot be decoded. In place of such a picture it gives the next
// one, by index, that can be, the first one following the last, together with that one's label: Label is right once the
// picture has been loaded. So what is given for an index depends on the files alone, not on what was loaded before or
// by whom.
//
// Errors of the system (no more file handles, a disk that fails) are no damage and are returned as they are: they may
// be gone the next time, and a run that had gone on with another picture could not be repeated.
type Tolerated struct {
	Dataset
	allowed int
	log     func(index int, err error)

	mu       sync.RWMutex
	damaged  map[int]error // too large ones among them
	tooLarge int
	checked  bool
}

// Tolerant makes a Dataset bear damaged pictures, up to the share limit of all, rounded up to a whole number; with 0 it
// bears none. log, which may be nil, is called for each damaged picture when it is first met, from any goroutine. When
// there are more, every further loading is an ErrDamaged that tells the number and the first file. A picture of more
// pixels than may be decoded (picture.ErrTooLarge) is left out just so, but it is whole, and does not count as damaged.
//
// Parts of a data set (OpenParts, Subset) are made before, so that a picture is replaced by one of its own part.
func Tolerant(d Dataset, limit float64, log func(index int, err error)) *Tolerated {
	if !(limit >= 0) {
		limit = 0
	}
	allowed := int(math.Ceil(min(limit, 1) * float64(d.Len())))
	return &Tolerated{Dataset: d, allowed: allowed, log: log, damaged: map[int]error{}}
}

// Label is the class of the picture that is given for i, as far as the damaged ones have been met.
func (t *Tolerated) Label(i int) int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := t.Len()
	for k := range n {
		if j := (i + k) % n; t.damaged[j] == nil {
			return t.Dataset.Label(j)
		}
	}
	return t.Dataset.Label(i)
}

// Replaced is the function Replaced for this Dataset.
func (t *Tolerated) Replaced(i int) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.damaged[i] != nil
}

func (t *Tolerated) isTooLarge(i int) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return errors.Is(t.damaged[i], picture.ErrTooLarge)
}

// Pixels writes picture i, or the one in its place.
func (t *Tolerated) Pixels(dst []byte, i int) error {
	if c, h, w := t.Size(); c == 0 || len(dst) != c*h*w {
		return t.Dataset.Pixels(dst, i) // says what is wrong, which is not the picture
	}
	return t.try(i, func(j int) error { return t.Dataset.Pixels(dst, j) })
}

// Image decodes picture i, or the one in its place.
func (t *Tolerated) Image(i int, how picture.Decoding) (img image.Image, err error) {
	if err := checkImages(t.Dataset); err != nil {
		return nil, err
	}
	err = t.try(i, func(j int) (err error) {
		img, err = Image(t.Dataset, j, how)
		return err
	})
	return img, err
}

// try loads picture i, or the first one after it that load takes.
func (t *Tolerated) try(i int, load func(j int) error) error {
	n := t.Len()
	if i < 0 || i >= n {
		return fmt.Errorf("picture %d of %d", i, n)
	}
	for k := range n {
		j := (i + k) % n
		known, err := t.state(j)
		if err != nil {
			return err
		}
		if known {
			continue
		}
		if err = load(j); err == nil || ofSystem(err) {
			return err
		}
		t.mark(j, err)
	}
	if _, err := t.state(i); err != nil {
		return err
	}
	return t.none()
}

// none is the error about a data set of which no picture can be read.
func (t *Tolerated) none() error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.tooLarge == len(t.damaged) && t.tooLarge > 0 {
		return fmt.Errorf("all of the %d pictures are too large: %w", t.Len(), t.damaged[0])
	}
	return fmt.Errorf("%w: all %d", ErrDamaged, t.Len())
}

// Met is how many pictures were met so far that cannot be read, and how many that are too large to be.
func (t *Tolerated) Met() (damaged, tooLarge int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.damaged) - t.tooLarge, t.tooLarge
}

func (t *Tolerated) sizeOf(i int) int64 { return sizeOf(t.Dataset, i) }

// contents are those of the data set, with what is known of its damage.
func (t *Tolerated) contents() (c Contents) {
	if known, ok := t.Dataset.(contained); ok {
		c = known.contents()
	}
	c.Damaged, c.TooLarge = t.Met()
	c.Checked = c.Checked || t.checked
	return c
}

// state tells whether picture j is known to be damaged; the error, whether too many are.
func (t *Tolerated) state(j int) (known bool, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if n := len(t.damaged) - t.tooLarge; n > t.allowed {
		first := t.Len()
		for i, err := range t.damaged {
			if i < first && !errors.Is(err, picture.ErrTooLarge) {
				first = i
			}
		}
		return false, fmt.Errorf("%w: %d of %d met, where %d are borne; the first is %w",
			ErrDamaged, n, t.Len(), t.allowed, t.damaged[first])
	}
	return t.damaged[j] != nil, nil
}

// mark notes that picture j is damaged, and tells the log, once.
func (t *Tolerated) mark(j int, err error) {
	t.mu.Lock()
	known := t.damaged[j] != nil
	if !known {
		t.damaged[j] = err
		if errors.Is(err, picture.ErrTooLarge) {
			t.tooLarge++
		}
	}
	t.mu.Unlock()
	if !known && t.log != nil {
		t.log(j, err)
	}
}

// errGone marks that a file of many pictures cannot be opened any more, which is not the damage of one of them.
var errGone = errors.New("the file has gone")

// ofSystem tells an error of the system from a damaged file. A single file that is not there (a link to nothing) or may
// not be read counts as damaged: it will be so again the next time.
func ofSystem(err error) bool {
	if errors.Is(err, errGone) {
		return true
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return false
	}
	var path *fs.PathError
	var number syscall.Errno
	return errors.As(err, &path) || errors.As(err, &number)
}
