package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/adavit/adavit/picture"
)

// Augmenter turns the pictures of a training set into a model's input, augmented at random. Its steps, of which an
// Augment says those that there are:
//
//  1. bytes of the model's size: a random crop, resized; else what the
//     preprocessor makes
//  2. mirroring, RandAugment, colour jitter, on bytes
//  3. shift and affine map, normalising, erasing
//
// It may be used from several goroutines at once.
type Augmenter struct {
	a        Augment
	policy   RandAugment
	fitted   Dataset // as the preprocessor makes them
	whole    Dataset // as they are, for RandomResizedCrop
	decoding picture.Decoding
	place    place
	mean     []float32
	std      []float32
	shape    shape
	scratch  sync.Pool // of *canvas
}

// NewAugmenter prepares to augment the pictures of d, whatever their size, for a model that takes [channels, height,
// width] after p. The error says which field of a is out of range, or why p cannot make such pictures.
func NewAugmenter(a Augment, d Dataset, p picture.Preprocessor, channels, height, width int) (*Augmenter, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	fit, err := Fit(d, p, channels, height, width)
	if err != nil {
		return nil, err
	}
	g := &Augmenter{a: a, fitted: fit, whole: d, decoding: p.Decoding(), shape: shape{channels, height, width}}
	if f, ok := d.(fitted); ok {
		g.whole = f.Dataset // crop what has not been resized yet
		if f.shape == g.shape {
			g.fitted = d // not to be resized twice
		}
	}
	g.mean, g.std = p.MeanStd(channels)
	g.place.filter = picture.Bicubic
	if p.DoResize {
		g.place.filter = p.Resample
	}
	if crop := a.RandomResizedCrop; crop != nil {
		if g.place.filter, err = crop.filter(g.place.filter); err != nil {
			return nil, err
		}
		if err := checkImages(g.whole); err != nil {
			return nil, err
		}
	}
	if a.RandAugment != "" {
		if g.policy, err = ParseRandAugment(a.RandAugment); err != nil {
			return nil, err
		}
	}
	for _, m := range g.mean { // what comes in from outside has the mean colour, as in timm
		g.place.fill = append(g.place.fill, byte(math.RoundToEven(min(max(255*float64(m), 0), 255))))
	}
	size := g.shape.values()
	g.scratch.New = func() any {
		return &canvas{pix: make([]byte, size), spare: make([]byte, size), c: channels, h: height, w: width}
	}
	return g, nil
}

// Load writes picture i, augmented and normalised, to dst [channels, height, width]; all chance comes from rng. The
// label is that of the picture that was really loaded: a data set may give another one in place of a damaged file.
func (g *Augmenter) Load(dst []float32, i int, rng *rand.Rand) (label int, err error) {
	if err := g.shape.checkRoom(len(dst), "values"); err != nil {
		return 0, err
	}
	p := g.scratch.Get().(*canvas)
	defer g.scratch.Put(p)
	if err := g.read(p.pix, i, rng); err != nil {
		return 0, err
	}
	label = g.fitted.Label(i)
	rest := g.a
	jitter := g.a.ColorJitter > 0 && (g.a.RandAugment == "" || g.a.ColorJitterAlways)
	if g.a.RandAugment != "" || jitter {
		if rest.Flip && rng.Uint64()&1 == 1 {
			p.flip()
		}
		rest.Flip = false
	}
	if g.a.RandAugment != "" {
		g.policy.apply(p, g.place, rng)
	}
	if jitter {
		p.jitter(g.a.ColorJitter, rng)
	}
	rest.Apply(dst, p.pix, p.c, p.h, p.w, g.mean, g.std, rng)
	return label, nil
}

// read writes picture i to dst, as bytes of the model's size.
func (g *Augmenter) read(dst []byte, i int, rng *rand.Rand) error {
	if g.a.RandomResizedCrop == nil {
		return g.fitted.Pixels(dst, i)
	}
	img, err := Image(g.whole, i, g.decoding)
	if err != nil {
		return err
	}
	h, w, err := picture.Sides(img)
	if err == nil {
		kept := g.a.RandomResizedCrop.draw(h, w, rng)
		err = picture.ResizePart(dst, img, kept, g.shape.channels, g.shape.height, g.shape.width, g.place.filter)
	}
	if err != nil {
		return fmt.Errorf("picture %d: %w", i, err)
	}
	return nil
}

// flip mirrors left and right.
func (p *canvas) flip() {
	for y := range p.c * p.h {
		slices.Reverse(p.pix[y*p.w:][:p.w])
	}
}
