package picture

import (
	"errors"
	"fmt"
	"image"
	"math"
	"reflect"
	"slices"
	"strings"
)

// Preprocessor says how a picture becomes a model's input. It is what preprocessor_config.json holds, with
// ViTImageProcessor's keys; the steps, in order, are resize, centre crop, rescale, normalise.
type Preprocessor struct {
	// Exif turns a picture as the orientation in its file's EXIF block says, before all else. The key is ours: without
	// it, a file that names one of transformers' image processors means true, see ParsePreprocessor.
	Exif bool `json:"do_exif_transpose"`
	// MaxPixels is a run's limit, see Decoding; no file keeps it.
	MaxPixels int64 `json:"-"`

	DoResize bool `json:"do_resize"`
	Size     Size `json:"size,omitzero"` // what DoResize resizes to
	Resample int  `json:"resample"`      // Bilinear or Bicubic
	// Pillow is the version of Pillow whose bytes DoResize makes; zero for the newest. Those before 13 resized across
	// first whatever the shape, which makes a difference for tall pictures.
	Pillow int `json:"pillow,omitempty"`

	DoCenterCrop bool `json:"do_center_crop"`
	// Crop is the size of the centre crop; zero for the model's own.
	Crop Size `json:"crop_size,omitzero"`
	// CropPct, if not 0, replaces Size by timm's rule: each side of the crop is divided by CropPct and cut to a whole
	// number, and the picture, keeping its shape, becomes just large enough to cover that.
	CropPct float64 `json:"crop_pct,omitempty"`
	// CropDown places a crop that cannot lie in the middle to the pixel half a pixel up and left, as transformers does;
	// torchvision and timm round half to even. In the file the key, crop_down, is ours: see ParsePreprocessor.
	CropDown bool `json:"-"`

	DoRescale     bool    `json:"do_rescale"`
	RescaleFactor float64 `json:"rescale_factor"` // a byte is multiplied by it, usually 1/255

	DoNormalize bool `json:"do_normalize"`
	// Mean and Std have one number for each channel, or one for all.
	Mean []float64 `json:"image_mean,omitempty"`
	Std  []float64 `json:"image_std,omitempty"`
}

// Size is a size in pixels, in one of two forms: Height and Width, which squashes a picture of another shape, or
// ShortestEdge, which keeps its shape.
type Size struct {
	Height       int `json:"height,omitempty"`
	Width        int `json:"width,omitempty"`
	ShortestEdge int `json:"shortest_edge,omitempty"`
}

// sides reports whether it is a height and a width.
func (s Size) sides() bool { return inRange(s.Height) && inRange(s.Width) && s.ShortestEdge == 0 }

func inRange(side int) bool { return side >= 1 && side <= MaxSide }

// MaxSide bounds the sizes that a preprocessor may ask for.
const MaxSide = 1 << 14

// DefaultPreprocessor is the preprocessor of a model of that input size. With three channels it is DeiT's evaluation:
// a centre crop that keeps 0.875 of the picture's side (256/224), resized by bicubic, ImageNet's mean and deviation.
// Otherwise the whole picture is resized (bicubic), and mean and deviation are ½.
func DefaultPreprocessor(height, width, channels int) Preprocessor {
	p := Preprocessor{
		DoResize: true, Size: Size{Height: height, Width: width}, Resample: Bicubic,
		DoRescale: true, RescaleFactor: 1.0 / 255,
		DoNormalize: true, Mean: []float64{0.5}, Std: []float64{0.5},
	}
	if channels == 3 {
		p = p.Keeping(224.0/256, height, width)
		p.Mean, p.Std = []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}
	}
	return p
}

// Keeping returns p with a resize and a centre crop that keep that share of a picture's side, 0.01 to 1, for a model of
// that input size; 1 keeps all of a picture that has the model's shape.
func (p Preprocessor) Keeping(share float64, height, width int) Preprocessor {
	p.DoResize, p.Size, p.CropPct = true, Size{}, share
	p.DoCenterCrop, p.Crop = true, Size{Height: height, Width: width}
	return p
}

// DecodedBy returns p for pictures that are decoded as d says; what d leaves to the model stays. A p that is zero,
// because the model has none, stays so.
func (p Preprocessor) DecodedBy(d Decoding) Preprocessor {
	if reflect.ValueOf(p).IsZero() {
		return p
	}
	if d.Exif != ExifOfModel {
		p.Exif = d.Exif == ExifApply
	}
	p.MaxPixels = d.MaxPixels
	return p
}

// Decoding says how p wants image files decoded.
func (p Preprocessor) Decoding() Decoding {
	if p.Exif {
		return Decoding{ExifApply, p.MaxPixels}
	}
	return Decoding{ExifIgnore, p.MaxPixels}
}

// String says what is done to a picture, for people: "resized to cover 256×256 by bicubic, centre crop of 224×224".
func (p Preprocessor) String() string {
	var steps []string
	if filter := map[int]string{Bilinear: "bilinear", Bicubic: "bicubic"}[p.Resample]; p.DoResize {
		to := fmt.Sprintf("%d×%d", p.Size.Height, p.Size.Width)
		if cover := p.covered(p.Crop); p.CropPct > 0 {
			to = fmt.Sprintf("cover %d×%d", cover.Height, cover.Width)
		} else if p.Size.ShortestEdge > 0 {
			to = fmt.Sprintf("a short side of %d", p.Size.ShortestEdge)
		}
		steps = append(steps, fmt.Sprintf("resized to %s by %s", to, filter))
	}
	if p.DoCenterCrop {
		steps = append(steps, fmt.Sprintf("centre crop of %d×%d", p.Crop.Height, p.Crop.Width))
	}
	if p.DoNormalize {
		steps = append(steps, fmt.Sprintf("mean %.4g and deviation %.4g", p.Mean, p.Std))
	}
	return strings.Join(steps, ", ")
}

// Check reports whether p is sound and makes pictures of [channels, height, width], as far as that does not depend on
// the picture.
func (p Preprocessor) Check(channels, height, width int) error {
	if reflect.ValueOf(p).IsZero() {
		return errors.New("the model has no preprocessor_config.json, so it is not known how pictures become " +
			"its input; add one (ViTImageProcessor's keys)")
	}
	if channels != 1 && channels != 3 {
		return fmt.Errorf("pictures of %d channels cannot be made, only of 1 or 3", channels)
	}
	if !inRange(height) || !inRange(width) {
		return fmt.Errorf("pictures of %d×%d cannot be made: a side has 1 to %d pixels", height, width, MaxSide)
	}
	if err := p.validate(); err != nil {
		return err
	}
	got := p.crop(height, width)
	if !p.DoCenterCrop && p.DoResize && p.Size.ShortestEdge == 0 {
		got = p.Size
	}
	fits := func(list []float64) bool { return !p.DoNormalize || len(list) == 1 || len(list) == channels }
	switch {
	case got.Height != height || got.Width != width:
		return fmt.Errorf("the preprocessor makes pictures of %d×%d, the model takes %d×%d",
			got.Height, got.Width, height, width)
	case !fits(p.Mean):
		return fmt.Errorf("image_mean has %d numbers, the model %d channels", len(p.Mean), channels)
	case !fits(p.Std):
		return fmt.Errorf("image_std has %d numbers, the model %d channels", len(p.Std), channels)
	}
	return nil
}

// validate checks what does not depend on the model.
func (p Preprocessor) validate() error {
	infinite := func(v float64) bool { return !(math.Abs(v) <= math.MaxFloat32) } // or not a number
	switch s := p.Size; {
	case p.DoResize && p.CropPct == 0 && !s.sides() && !(inRange(s.ShortestEdge) && s.Height == 0 && s.Width == 0):
		return fmt.Errorf("size %+v: want a height and a width, or a shortest edge, of 1 to %d", s, MaxSide)
	case p.DoResize && p.Resample != Bilinear && p.Resample != Bicubic:
		return fmt.Errorf("resample %d: only %d (bilinear) and %d (bicubic) are supported",
			p.Resample, Bilinear, Bicubic)
	case p.Pillow < 0:
		return fmt.Errorf("pillow %d: want the number of a version, or none for the newest", p.Pillow)
	case p.DoCenterCrop && p.Crop != (Size{}) && !p.Crop.sides():
		return fmt.Errorf("crop_size %+v: want a height and a width of 1 to %d", p.Crop, MaxSide)
	case p.CropPct != 0 && !(p.CropPct >= 0.01 && p.CropPct <= 1):
		return fmt.Errorf("crop_pct %v: want 0.01 to 1", p.CropPct)
	case p.DoRescale && (infinite(p.RescaleFactor) || p.RescaleFactor <= 0):
		return fmt.Errorf("rescale_factor %v: want a positive number that float32 can hold", p.RescaleFactor)
	case p.DoNormalize && slices.ContainsFunc(p.Mean, infinite):
		return fmt.Errorf("image_mean %v: want finite numbers", p.Mean)
	case p.DoNormalize && slices.ContainsFunc(p.Std, func(v float64) bool { return infinite(v) || float32(v) <= 0 }):
		return fmt.Errorf("image_std %v: want positive numbers", p.Std)
	}
	return nil
}

// crop is the size of the centre crop for a model of that size; the model's own if there is none.
func (p Preprocessor) crop(height, width int) Size {
	if p.DoCenterCrop && p.Crop != (Size{}) {
		return p.Crop
	}
	return Size{Height: height, Width: width}
}

// maxResized bounds a side after the resize step: a strip of pixels whose short side grows to a model's size would else
// become millions long.
const maxResized = 1 << 20

// Resized is the size of an h×w picture after the resize step, for a model of that size. What exceeds maxResized is
// just beyond it.
func (p Preprocessor) Resized(h, w, height, width int) (int, int) {
	edge := p.Size.ShortestEdge
	switch cover := p.covered(p.crop(height, width)); {
	case !p.DoResize:
		return h, w
	case p.CropPct > 0 && cover.Height != cover.Width:
		// timm: both sides by the smaller ratio, rounded half to even.
		ratio := min(float64(h)/float64(cover.Height), float64(w)/float64(cover.Width))
		side := func(n int) int { return int(min(math.RoundToEven(float64(n)/ratio), maxResized+1)) }
		return side(h), side(w)
	case p.CropPct > 0:
		edge = cover.Height
	case edge == 0:
		return p.Size.Height, p.Size.Width
	}
	// torchvision: the long side is cut to a whole number, not rounded.
	long := func(a, b int) int { return int(min(int64(edge)*int64(a)/int64(b), maxResized+1)) }
	if w <= h {
		return long(h, w), edge
	}
	return edge, long(w, h)
}

// covered is what the picture covers before a crop of that size, by CropPct.
func (p Preprocessor) covered(crop Size) Size {
	side := func(n int) int { return int(min(float64(n)/p.CropPct, maxResized+1)) }
	return Size{Height: side(crop.Height), Width: side(crop.Width)}
}

// centred places a crop of n pixels on a side of m: the offset of the crop, or, where the side is shorter, how much
// black goes before it, rounded down.
func (p Preprocessor) centred(m, n int) (offset, pad int) {
	switch {
	case n > m:
		return 0, (n - m) / 2
	case p.CropDown:
		return (m - n) / 2, 0
	}
	return int(math.RoundToEven(float64(m-n) / 2)), 0
}

// Bytes resizes and crops img to dst, [channels, height, width] bytes. Grey pictures are replicated for three channels;
// colour becomes grey before resizing for one.
func (p Preprocessor) Bytes(dst []byte, img image.Image, channels, height, width int) error {
	if err := p.Check(channels, height, width); err != nil {
		return err
	}
	if len(dst) != channels*height*width {
		return fmt.Errorf("room for %d values, a picture of shape [%d %d %d] takes %d",
			len(dst), channels, height, width, channels*height*width)
	}
	h, w, err := Sides(img)
	if err != nil {
		return err
	}
	win := window{acrossFirst: p.Pillow > 0 && p.Pillow < 13}
	win.fullHeight, win.fullWidth = p.Resized(h, w, height, width)
	if max(win.fullHeight, win.fullWidth) > maxResized {
		return fmt.Errorf("a picture of %d×%d pixels would be resized to more than %d a side", w, h, maxResized)
	}
	padTop, padLeft := 0, 0
	win.height, win.width = win.fullHeight, win.fullWidth
	if p.DoCenterCrop {
		crop := p.crop(height, width)
		win.top, padTop = p.centred(win.fullHeight, crop.Height)
		win.left, padLeft = p.centred(win.fullWidth, crop.Width)
		win.height, win.width = min(win.fullHeight, crop.Height), min(win.fullWidth, crop.Width)
	} else if win.height != height || win.width != width {
		return fmt.Errorf("a picture of %d×%d pixels becomes %d×%d, the model takes %d×%d (do_center_crop is off)",
			w, h, win.width, win.height, width, height)
	}
	if win.height < height || win.width < width {
		clear(dst) // black around it
	}
	return resize(dst, width, padTop*width+padLeft, img, Part{0, 0, h, w}, channels, win, p.Resample)
}

// Apply turns img into a model's input, dst [channels, height, width].
func (p Preprocessor) Apply(dst []float32, img image.Image, channels, height, width int) error {
	pixels := buffers.Get().(*[]byte)
	defer buffers.Put(pixels)
	setLen(pixels, len(dst))
	if err := p.Bytes(*pixels, img, channels, height, width); err != nil {
		return err
	}
	p.Normalize(dst, *pixels, channels, height, width)
	return nil
}

// Normalize rescales and normalises the bytes of a picture that has the model's size already: dst = (src ·
// rescale_factor − mean) / std, both [channels, height, width]. In single precision, step by step, as transformers does
// it.
func (p Preprocessor) Normalize(dst []float32, src []byte, channels, height, width int) {
	plane := height * width
	var table [256]float32
	for c := range channels {
		mean, std := p.channel(c)
		for v := range table {
			x := float32(v)
			if p.DoRescale {
				x = float32(float64(v) * p.RescaleFactor)
			}
			table[v] = (x - mean) / std
		}
		out := dst[c*plane:][:plane]
		for i, v := range src[c*plane:][:plane] {
			out[i] = table[v]
		}
	}
}

// MeanStd gives each channel's mean and deviation on the scale where a byte is byte/255, whatever p's own scale is:
// what Augment.Apply wants.
func (p Preprocessor) MeanStd(channels int) (mean, std []float32) {
	factor := 1.0
	if p.DoRescale {
		factor = p.RescaleFactor
	}
	for c := range channels {
		m, s := p.channel(c)
		mean = append(mean, float32(float64(m)/(255*factor)))
		std = append(std, float32(float64(s)/(255*factor)))
	}
	return mean, std
}

// channel is the mean and deviation of channel c; 0 and 1 if there is none.
func (p Preprocessor) channel(c int) (mean, std float32) {
	pick := func(list []float64, none float32) float32 {
		if !p.DoNormalize || len(list) == 0 {
			return none
		}
		return float32(list[min(c, len(list)-1)])
	}
	return pick(p.Mean, 0), pick(p.Std, 1)
}
