package picture

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/adavit/adavit/internal/strictjson"
)

// preprocessorJSON is preprocessor_config.json: a Preprocessor but for the keys that can be absent or stand there in
// several forms.
type preprocessorJSON struct {
	Preprocessor
	Exif         *bool    `json:"do_exif_transpose"`
	Processor    string   `json:"image_processor_type"`
	Extractor    string   `json:"feature_extractor_type"` // what that was called before 2022
	Size         sizeJSON `json:"size"`
	DoCenterCrop *bool    `json:"do_center_crop"`
	CropSize     sizeJSON `json:"crop_size"`
	CropPct      *float64 `json:"crop_pct"`
	CropDown     *bool    `json:"crop_down"`
	Resample     filter   `json:"resample"`
	Mean         numbers  `json:"image_mean"`
	Std          numbers  `json:"image_std"`
}

// filter is a way to resize, as Pillow numbers it or, as newer files have it, by torchvision's name.
type filter int

func (f *filter) UnmarshalJSON(b []byte) error {
	names := map[string]filter{`"bilinear"`: Bilinear, `"bicubic"`: Bicubic}
	if n, ok := names[string(b)]; ok {
		*f = n
		return nil
	}
	n := int(*f)
	if strictjson.Unmarshal(b, &n) != nil {
		return fmt.Errorf("%.60s: want %d or \"bilinear\", %d or \"bicubic\"", b, Bilinear, Bicubic)
	}
	*f = filter(n)
	return nil
}

// sizeJSON is a Size; a plain number, which makes a square; or a list of height and width.
type sizeJSON struct {
	Size
	plain bool // it was a number
}

func (s *sizeJSON) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	*s = sizeJSON{}
	if n := 0; strictjson.Unmarshal(b, &n) == nil {
		if n < 1 || n > MaxSide {
			return fmt.Errorf("%d: want 1 to %d", n, MaxSide)
		}
		*s = sizeJSON{Size{Height: n, Width: n}, true}
		return nil
	}
	if list := []int(nil); strictjson.Unmarshal(b, &list) == nil && len(list) == 2 {
		s.Height, s.Width = list[0], list[1]
		return nil
	}
	if strictjson.UnmarshalKnown(b, &s.Size) != nil || s.Size == (Size{}) {
		return fmt.Errorf(`%.60s: want a whole number, {"height", "width"}, [height, width] or {"shortest_edge"}`, b)
	}
	return nil
}

// numbers is a list of numbers or, in the file, a single one.
type numbers []float64

func (l *numbers) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil // ViTImageProcessor's value
	}
	if one := 0.0; strictjson.Unmarshal(b, &one) == nil {
		*l = numbers{one}
		return nil
	}
	var list []float64
	if strictjson.Unmarshal(b, &list) != nil || len(list) == 0 || len(list) > 16 {
		return fmt.Errorf("%.60s: want a list of numbers, one for each channel", b)
	}
	*l = list
	return nil
}

// ParsePreprocessor reads preprocessor_config.json; name stands for the file in errors. Unknown keys are ignored,
// absent ones have ViTImageProcessor's values (resize to 224×224, bilinear; no crop; 1/255; mean and deviation ½).
//
// A size may be {"height", "width"}, [height, width], {"shortest_edge"} or a plain number. The number is the shortest
// edge if a centre crop follows, as in DeiT's and torchvision's evaluation, and both sides of a square if none does.
// crop_pct implies the crop, unless do_center_crop forbids it; its size is then crop_size or, without one, size.
// resample is Pillow's number or a name, "bilinear" or "bicubic". pillow, a version, asks for the bytes that this
// version's resize makes.
//
// A file that names an image processor is one of transformers' (5.24.0), whose load_image turns pictures as EXIF says,
// unless do_exif_transpose says otherwise; and whose centre crop rounds its place down, unless there is a crop_pct,
// which is timm's, or crop_down says otherwise.
func ParsePreprocessor(name string, b []byte) (Preprocessor, error) {
	p, err := parsePreprocessor(b)
	if err != nil {
		return Preprocessor{}, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func parsePreprocessor(b []byte) (Preprocessor, error) {
	j := preprocessorJSON{
		Preprocessor: Preprocessor{
			DoResize: true, DoRescale: true, RescaleFactor: 1.0 / 255, DoNormalize: true,
		},
		Size: sizeJSON{Size: Size{Height: 224, Width: 224}}, Mean: numbers{0.5}, Std: numbers{0.5}, Resample: Bilinear,
	}
	if err := strictjson.UnmarshalKnown(b, &j); err != nil {
		return Preprocessor{}, err
	}
	p := j.Preprocessor
	p.Mean, p.Std, p.Resample = j.Mean, j.Std, int(j.Resample)
	transformers := j.Processor != "" || j.Extractor != ""
	if p.Exif = transformers; j.Exif != nil {
		p.Exif = *j.Exif
	}
	if j.CropPct != nil && (j.DoCenterCrop == nil || *j.DoCenterCrop) {
		if p.CropPct = *j.CropPct; p.CropPct == 0 {
			return Preprocessor{}, errors.New("crop_pct 0: want 0.01 to 1")
		}
	}
	if p.DoCenterCrop = p.CropPct != 0; j.DoCenterCrop != nil {
		p.DoCenterCrop = *j.DoCenterCrop
	}
	size := j.Size.Size
	if p.DoCenterCrop {
		if p.CropDown = transformers && p.CropPct == 0; j.CropDown != nil {
			p.CropDown = *j.CropDown
		}
		// Its plain number or shortest edge is a square: there is nothing to keep the shape of.
		p.Crop = j.CropSize.Size
		if p.Crop == (Size{}) && p.CropPct != 0 {
			p.Crop = size
		}
		if e := p.Crop.ShortestEdge; e != 0 {
			p.Crop = Size{Height: e, Width: e}
		}
		if j.Size.plain {
			size = Size{ShortestEdge: size.Height}
		}
	}
	if p.DoResize && p.CropPct == 0 {
		p.Size = size
	}
	return p, p.validate()
}

// Marshal is preprocessor_config.json, which ParsePreprocessor reads back as p.
func (p Preprocessor) Marshal() ([]byte, error) {
	err := p.validate()
	if !p.DoCenterCrop {
		p.Crop = Size{}
	}
	if cover := p.covered(p.Crop); p.CropPct > 0 && p.Crop.sides() { // for readers that do not know crop_pct
		if p.Size = cover; cover.Height == cover.Width {
			p.Size = Size{ShortestEdge: cover.Height}
		}
	}
	var down *bool
	if p.DoCenterCrop && p.CropDown != (p.CropPct == 0) { // which goes without saying
		down = &p.CropDown
	}
	var b []byte
	if err == nil {
		b, err = json.MarshalIndent(struct {
			Type string `json:"image_processor_type"`
			Preprocessor
			CropDown *bool `json:"crop_down,omitempty"`
		}{"ViTImageProcessor", p, down}, "", "  ")
	}
	if err != nil {
		return nil, fmt.Errorf("preprocessor: %w", err)
	}
	return append(b, '\n'), nil
}
