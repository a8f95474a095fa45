package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
)

// RandomResizedCrop cuts a random part out of a picture and resizes it to the
// model's size (Szegedy et al. 2015; torchvision's and timm's rule): a part of
// the area uniform in Scale, and of a shape width : height log-uniform in Ratio,
// that lies inside of the picture. If ten attempts find none, it is the largest
// part in the middle whose shape is within Ratio.
type RandomResizedCrop struct {
	Scale [2]float64 `json:"scale"` // least and largest share of the area; absent from JSON: 0.08, 1
	Ratio [2]float64 `json:"ratio"` // narrowest and widest shape; absent from JSON: 3/4, 4/3
	// Interpolation is "bilinear" or "bicubic"; "" is that of the model's preprocessor.
	Interpolation string `json:"interpolation,omitempty"`
}

// cropTries is how often a crop is drawn that has to fit.
const cropTries = 10

// maxRatio bounds the shapes that a crop may be asked for.
const maxRatio = 100

// DefaultCrop is the crop that ImageNet models are trained with.
func DefaultCrop() RandomResizedCrop {
	return RandomResizedCrop{Scale: [2]float64{0.08, 1}, Ratio: [2]float64{3. / 4, 4. / 3}}
}

// UnmarshalJSON reads an object; what it leaves out is as in DefaultCrop.
func (c *RandomResizedCrop) UnmarshalJSON(b []byte) error {
	type plain RandomResizedCrop // without this method
	// A list of another length than two would be cut or filled up.
	v := struct {
		*plain
		Scale *[]float64 `json:"scale"`
		Ratio *[]float64 `json:"ratio"`
	}{plain: (*plain)(c)}
	*c = DefaultCrop()
	if err := decodeStrictly(b, &v); err != nil {
		return fmt.Errorf("random_resized_crop: %w", err)
	}
	for _, f := range []struct {
		name string
		list *[]float64
		dst  *[2]float64
	}{{"scale", v.Scale, &c.Scale}, {"ratio", v.Ratio, &c.Ratio}} {
		if f.list == nil {
			continue
		}
		if len(*f.list) != 2 {
			return fmt.Errorf("random_resized_crop: %s %v, want two numbers, the least and the largest", f.name, *f.list)
		}
		*f.dst = [2]float64(*f.list)
	}
	return nil
}

// decodeStrictly reads one JSON object without keys that v does not know.
func decodeStrictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// Validate says which field is out of range.
func (c RandomResizedCrop) Validate() error {
	within := func(v [2]float64, low, high float64) bool { return v[0] >= low && v[0] <= v[1] && v[1] <= high }
	switch {
	case !within(c.Scale, 1e-4, 1):
		return fmt.Errorf("random_resized_crop: scale %v, want two rising shares of 0.0001 to 1", c.Scale)
	case !within(c.Ratio, 1./maxRatio, maxRatio):
		return fmt.Errorf("random_resized_crop: ratio %v, want two rising shapes (width : height) of %v to %v", c.Ratio, 1./maxRatio, maxRatio)
	}
	_, err := c.filter(Bicubic)
	return err
}

// filter is the resampling filter, or usual if none is named.
func (c RandomResizedCrop) filter(usual int) (int, error) {
	switch c.Interpolation {
	case "":
		return usual, nil
	case "bilinear":
		return Bilinear, nil
	case "bicubic":
		return Bicubic, nil
	}
	return 0, fmt.Errorf(`random_resized_crop: interpolation %q, want "bilinear" or "bicubic"`, c.Interpolation)
}

// part is a rectangle of a picture, in pixels.
type part struct{ top, left, height, width int }

// draw picks the part of an h×w picture that is kept.
func (c RandomResizedCrop) draw(h, w int, rng *rand.Rand) part {
	area := float64(h) * float64(w)
	low, high := math.Log(c.Ratio[0]), math.Log(c.Ratio[1])
	for range cropTries {
		size := area * (c.Scale[0] + (c.Scale[1]-c.Scale[0])*rng.Float64())
		ratio := math.Exp(low + (high-low)*rng.Float64())
		cw := int(math.RoundToEven(math.Sqrt(size * ratio)))
		ch := int(math.RoundToEven(math.Sqrt(size / ratio)))
		if cw >= 1 && ch >= 1 && cw <= w && ch <= h {
			top := rng.IntN(h - ch + 1)
			return part{top, rng.IntN(w - cw + 1), ch, cw}
		}
	}
	return c.middle(h, w)
}

// middle is the largest part in the middle whose shape is within Ratio.
func (c RandomResizedCrop) middle(h, w int) part {
	ch, cw := h, w
	switch ratio := float64(w) / float64(h); {
	case ratio < c.Ratio[0]:
		ch = min(max(int(math.RoundToEven(float64(w)/c.Ratio[0])), 1), h)
	case ratio > c.Ratio[1]:
		cw = min(max(int(math.RoundToEven(float64(h)*c.Ratio[1])), 1), w)
	}
	return part{(h - ch) / 2, (w - cw) / 2, ch, cw}
}

// cut shows a part of a picture. Rows are read whole, so that colour that is kept
// at half the resolution is interpolated as in the whole picture.
func (r rows) cut(p part) rows {
	line := make([]byte, r.width*r.channels)
	return rows{height: p.height, width: p.width, channels: r.channels, row: func(y int, dst []byte) {
		r.row(p.top+y, line)
		copy(dst[:p.width*r.channels], line[p.left*r.channels:])
	}}
}

// resizePart writes the part of img, resized, to dst [channels, height, width].
func resizePart(dst []byte, img image.Image, p part, channels, height, width, filter int) error {
	win := window{fullHeight: height, fullWidth: width, height: height, width: width}
	src := readRows(img, channels).cut(p)
	if channels == 1 {
		return resize(dst, width, src, win, filter)
	}
	mixed := make([]byte, len(dst)) // [height, width, 3]
	if err := resize(mixed, 3*width, src, win, filter); err != nil {
		return err
	}
	n := height * width
	for i := range n {
		dst[i], dst[n+i], dst[2*n+i] = mixed[3*i], mixed[3*i+1], mixed[3*i+2]
	}
	return nil
}

// bounded checks that img can be cropped.
func bounded(img image.Image) (h, w int, err error) {
	h, w = img.Bounds().Dy(), img.Bounds().Dx()
	if most := defaultLimits; h < 1 || w < 1 || int64(h) > most.side || int64(w) > most.side {
		return 0, 0, fmt.Errorf("picture of %d×%d pixels", w, h)
	}
	return h, w, nil
}
