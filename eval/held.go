package eval

import (
	"context"
	"errors"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/vit"
)

// held is a data set of images in memory, as a model takes them, that are run many times.
type held struct {
	channels, height, width int
	pixels                  []byte   // [n, C, H, W]
	labels                  []int    // [n] classes of the model
	classes                 []string // of the model
}

func (h *held) Len() int                            { return len(h.labels) }
func (h *held) Label(i int) int                     { return h.labels[i] }
func (h *held) Classes() []string                   { return h.classes }
func (h *held) Size() (channels, height, width int) { return h.channels, h.height, h.width }
func (h *held) Pixels(dst []byte, i int) error      { copy(dst, h.pixels[i*len(dst):]); return nil }

// heldBytes bounds the memory that images may take.
const heldBytes = 512 << 20

// hold reads n images of d, or as many as there are and heldBytes has room for: spread over the data set, and in an
// order in which the first few are spread over it, too. Damaged ones that d bears are left out. labelled says that the
// labels are the data's; else none of its classes is the model's, and all are 0.
func hold(ctx context.Context, m *vit.Model, d data.Dataset, n, threads int) (h *held, labelled bool, err error) {
	c := m.Params.Config
	match, unmatched := MatchClasses(c, NamedOf(d), UnknownFails)
	if unmatched != nil && !errors.Is(unmatched, ErrNoneKnown) {
		return nil, false, unmatched
	}
	if d, err = fit(m, d); err != nil {
		return nil, false, err
	}
	size := c.ImageLen()
	index := data.Order(0, 0, d.Len())[:min(n, d.Len(), max(heldBytes/size, 1))]
	h = &held{channels: c.Channels, height: c.Height, width: c.Width, pixels: make([]byte, len(index)*size)}
	for i := range c.Classes {
		h.classes = append(h.classes, c.Label(i))
	}
	errs := make([]error, len(index))
	parallel.For(threads, len(index), func(_, i int) {
		if errs[i] = ctx.Err(); errs[i] == nil {
			errs[i] = d.Pixels(h.pixels[i*size:(i+1)*size], index[i])
		}
	})
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	if err := errors.Join(errs...); err != nil {
		return nil, false, err
	}
	for i, at := range index {
		if data.Replaced(d, at) {
			continue
		}
		k := len(h.labels)
		copy(h.pixels[k*size:(k+1)*size], h.pixels[i*size:])
		label := 0
		if unmatched == nil {
			label = match.Class[d.Label(at)]
		}
		h.labels = append(h.labels, label)
	}
	if len(h.labels) == 0 {
		return nil, false, errors.New("the data set has no image that can be read")
	}
	return h, unmatched == nil, nil
}
