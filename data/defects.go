package data

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/adavit/adavit/picture"
)

// Defects makes pictures with small defects out of sound ones, for an inspection that knows few defects. It is the idea
// of CutPaste (Li et al. 2021) with noise for what is pasted: upright ellipses, in which neighbouring pixels have
// nothing to do with each other. They are drawn before anything is resized, so that they pass through the same filter
// as real ones, and in the part of the picture that a random crop keeps.
type Defects struct {
	// Prob is the share of the sound pictures that get defects.
	Prob float64 `json:"prob"`
	// From is the class of sound pictures; those with defects are of class To.
	From string `json:"from"`
	To   string `json:"to"`
	// Count is the largest number of ellipses in one picture, which is uniform from 1 on; 0 is 1.
	Count int `json:"count,omitempty"`
	// Width and Height are least and largest axes of an ellipse, in pixels of the picture before it is resized.
	Width  [2]float64 `json:"width"`
	Height [2]float64 `json:"height"`
	// Contrast is the least and the largest deviation of the noise, in deviations of the whole picture's grey values.
	// Its mean is that of what was there before.
	Contrast [2]float64 `json:"contrast"`
}

// maxDefects and maxContrast bound what a recipe may ask for.
const (
	maxDefects  = 64
	maxContrast = 10
)

// Validate says which field is out of range.
func (d Defects) Validate() error {
	if d.From == "" || d.To == "" || d.From == d.To {
		return fmt.Errorf("defects: from %q to %q, want the names of two classes", d.From, d.To)
	}
	err := within("defects", bound{"prob", d.Prob, 0, 1}, bound{"count", float64(d.Count), 0, maxDefects})
	for _, r := range []struct {
		key   string
		value [2]float64
		low   float64
		high  float64
	}{{"width", d.Width, 1, picture.MaxSide}, {"height", d.Height, 1, picture.MaxSide},
		{"contrast", d.Contrast, 0, maxContrast}} {
		if v := r.value; err == nil && !(v[0] >= r.low && v[0] <= v[1] && v[1] <= r.high) {
			err = fmt.Errorf("defects: %s %v, want two rising numbers of %v to %v", r.key, v, r.low, r.high)
		}
	}
	return err
}

// defects are Defects for certain classes.
type defects struct {
	Defects
	from, to int
}

// of finds the classes by their names.
func (d Defects) of(classes []string) (*defects, error) {
	at := defects{d, slices.Index(classes, d.From), slices.Index(classes, d.To)}
	if at.from < 0 || at.to < 0 {
		return nil, fmt.Errorf("augment: defects from %q to %q, but the classes are %q", d.From, d.To, classes)
	}
	return &at, nil
}

// apply returns img with defects in a part of it, or as it is, and what class it is then.
func (d *defects) apply(img image.Image, part picture.Part, label int, rng *rand.Rand) (image.Image, int, error) {
	if label != d.from || rng.Float64() >= d.Prob {
		return img, label, nil
	}
	h, w, err := picture.Sides(img)
	if err != nil {
		return nil, 0, err
	}
	planes := make([]byte, 3*h*w)
	whole := picture.Part{Height: h, Width: w}
	if err := picture.ResizePart(planes, img, whole, 3, h, w, picture.Bilinear); err != nil {
		return nil, 0, err
	}
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	var sum, squares float64
	for k := range h * w {
		p := out.Pix[4*k : 4*k+4]
		p[0], p[1], p[2], p[3] = planes[k], planes[h*w+k], planes[2*h*w+k], 255
		v := brightness(p)
		sum, squares = sum+v, squares+v*v
	}
	n := float64(h * w)
	deviation := math.Sqrt(max(squares/n-(sum/n)*(sum/n), 0))
	for range 1 + rng.IntN(max(d.Count, 1)) {
		uniform := func(r [2]float64) float64 { return r[0] + (r[1]-r[0])*rng.Float64() }
		rx, ry, noise := uniform(d.Width)/2, uniform(d.Height)/2, deviation*uniform(d.Contrast)
		cx := float64(part.Left) + rng.Float64()*float64(part.Width)
		cy := float64(part.Top) + rng.Float64()*float64(part.Height)
		roughen(out, cx, cy, rx, ry, noise, rng)
	}
	return out, d.to, nil
}

// roughen replaces the ellipse about (cx, cy) with half axes rx and ry by noise about its own mean.
func roughen(m *image.NRGBA, cx, cy, rx, ry, deviation float64, rng *rand.Rand) {
	h, w := m.Rect.Dy(), m.Rect.Dx()
	inside := func(do func(p []byte)) {
		for y := max(int(cy-ry), 0); y < min(int(cy+ry)+1, h); y++ {
			for x := max(int(cx-rx), 0); x < min(int(cx+rx)+1, w); x++ {
				if u, v := (float64(x)+0.5-cx)/rx, (float64(y)+0.5-cy)/ry; u*u+v*v <= 1 {
					do(m.Pix[m.PixOffset(x, y):][:3])
				}
			}
		}
	}
	var sum, n float64
	inside(func(p []byte) { sum, n = sum+brightness(p), n+1 })
	inside(func(p []byte) {
		change := sum/n + deviation*rng.NormFloat64() - brightness(p)
		for c, v := range p {
			p[c] = byte(min(max(math.Round(float64(v)+change), 0), 255))
		}
	})
}

// brightness is the mean of a pixel's channels, so that adding to each of them adds as much to it.
func brightness(p []byte) float64 { return (float64(p[0]) + float64(p[1]) + float64(p[2])) / 3 }
