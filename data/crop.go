package data

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/picture"
)

// RandomResizedCrop cuts a random part out of a picture and resizes it to the model's size (Szegedy et al. 2015;
// torchvision's and timm's rule): a part of the area uniform in Scale, and of a shape width : height log-uniform in
// Ratio, that lies inside of the picture. If ten attempts find none, it is the largest part in the middle whose shape
// is within Ratio.
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
	*c = DefaultCrop()
	if err := strictjson.Unmarshal(b, (*plain)(c)); err != nil {
		return fmt.Errorf("random_resized_crop: %w", err)
	}
	return nil
}

// Validate says which field is out of range.
func (c RandomResizedCrop) Validate() error {
	within := func(v [2]float64, low, high float64) bool { return v[0] >= low && v[0] <= v[1] && v[1] <= high }
	switch {
	case !within(c.Scale, 1e-4, 1):
		return fmt.Errorf("random_resized_crop: scale %v, want two rising shares of 0.0001 to 1", c.Scale)
	case !within(c.Ratio, 1./maxRatio, maxRatio):
		return fmt.Errorf("random_resized_crop: ratio %v, want two rising shapes (width : height) of %v to %v",
			c.Ratio, 1./maxRatio, maxRatio)
	}
	_, err := c.filter(picture.Bicubic)
	return err
}

// filter is the resampling filter, or usual if none is named.
func (c RandomResizedCrop) filter(usual int) (int, error) {
	names := map[string]int{"": usual, "bilinear": picture.Bilinear, "bicubic": picture.Bicubic}
	if filter, ok := names[c.Interpolation]; ok {
		return filter, nil
	}
	return 0, fmt.Errorf(`random_resized_crop: interpolation %q, want "bilinear" or "bicubic"`, c.Interpolation)
}

// draw picks the part of an h×w picture that is kept.
func (c RandomResizedCrop) draw(h, w int, rng *rand.Rand) picture.Part {
	area := float64(h) * float64(w)
	low, high := math.Log(c.Ratio[0]), math.Log(c.Ratio[1])
	for range cropTries {
		size := area * (c.Scale[0] + (c.Scale[1]-c.Scale[0])*rng.Float64())
		ratio := math.Exp(low + (high-low)*rng.Float64())
		cw := int(math.RoundToEven(math.Sqrt(size * ratio)))
		ch := int(math.RoundToEven(math.Sqrt(size / ratio)))
		if cw >= 1 && ch >= 1 && cw <= w && ch <= h {
			top := rng.IntN(h - ch + 1)
			return picture.Part{Top: top, Left: rng.IntN(w - cw + 1), Height: ch, Width: cw}
		}
	}
	return c.middle(h, w)
}

// middle is the largest part in the middle whose shape is within Ratio.
func (c RandomResizedCrop) middle(h, w int) picture.Part {
	ch, cw := h, w
	switch ratio := float64(w) / float64(h); {
	case ratio < c.Ratio[0]:
		ch = min(max(int(math.RoundToEven(float64(w)/c.Ratio[0])), 1), h)
	case ratio > c.Ratio[1]:
		cw = min(max(int(math.RoundToEven(float64(h)*c.Ratio[1])), 1), w)
	}
	return picture.Part{Top: (h - ch) / 2, Left: (w - cw) / 2, Height: ch, Width: cw}
}
