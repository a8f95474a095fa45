package picture

import (
	"encoding/json"
	"fmt"

	"github.com/adavit/adavit/internal/strictjson"
)

// preprocessorJSON is preprocessor_config.json. Pointers tell what is absent.
type preprocessorJSON struct {
	Type          string    `json:"image_processor_type,omitempty"`
	DoResize      bool      `json:"do_resize"`
	Size          *sizeJSON `json:"size,omitempty"`
	Resample      int       `json:"resample"`
	DoCenterCrop  *bool     `json:"do_center_crop"`
	CropSize      *sizeJSON `json:"crop_size,omitempty"`
	CropPct       *float64  `json:"crop_pct,omitempty"`
	DoRescale     bool      `json:"do_rescale"`
	RescaleFactor float64   `json:"rescale_factor"`
	DoNormalize   bool      `json:"do_normalize"`
	Mean          numbers   `json:"image_mean,omitempty"`
	Std           numbers   `json:"image_std,omitempty"`
}

// sizeJSON is a Size, or a plain number, which makes a square.
type sizeJSON struct {
	Height       int  `json:"height,omitempty"`
	Width        int  `json:"width,omitempty"`
	ShortestEdge int  `json:"shortest_edge,omitempty"`
	plain        bool // it was a number
}

func (s *sizeJSON) UnmarshalJSON(b []byte) error {
	type object sizeJSON // without this method
	if n := 0; strictjson.Unmarshal(b, &n) == nil {
		if n < 1 || n > MaxSide {
			return fmt.Errorf("%d: want 1 to %d", n, MaxSide)
		}
		*s = sizeJSON{Height: n, Width: n, plain: true}
		return nil
	}
	if strictjson.UnmarshalKnown(b, (*object)(s)) != nil || *s == (sizeJSON{}) {
		return fmt.Errorf(`%s: want a whole number, {"height", "width"} or {"shortest_edge"}`, shorten(b))
	}
	return nil
}

// size is what the file says, the zero Size where it says nothing.
func (s *sizeJSON) size() Size {
	if s == nil {
		return Size{}
	}
	return Size{s.Height, s.Width, s.ShortestEdge}
}

// sizeOf is s for the file, nil if it is not to stand there.
func sizeOf(s Size) *sizeJSON {
	if s == (Size{}) {
		return nil
	}
	return &sizeJSON{s.Height, s.Width, s.ShortestEdge, false}
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
		return fmt.Errorf("%s: want a list of numbers, one for each channel", shorten(b))
	}
	*l = list
	return nil
}

// ParsePreprocessor reads preprocessor_config.json; name stands for the file in errors. Unknown keys are ignored,
// absent ones have ViTImageProcessor's values (resize to 224×224, bilinear; no crop; 1/255; mean and deviation ½).
//
// A size may be {"height", "width"}, {"shortest_edge"} or a plain number. The number is the shortest edge if a centre
// crop follows, as in DeiT's and torchvision's evaluation, and both sides of a square if none does. crop_pct implies
// the crop, unless do_center_crop forbids it; its size is then crop_size or, without one, size.
func ParsePreprocessor(name string, b []byte) (Preprocessor, error) {
	p, err := parsePreprocessor(b)
	if err != nil {
		return Preprocessor{}, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func parsePreprocessor(b []byte) (Preprocessor, error) {
	j := preprocessorJSON{
		DoResize: true, Resample: Bilinear, DoRescale: true, RescaleFactor: 1.0 / 255, DoNormalize: true,
		Mean: numbers{0.5}, Std: numbers{0.5},
	}
	if err := strictjson.UnmarshalKnown(b, &j); err != nil {
		return Preprocessor{}, err
	}
	p := Preprocessor{
		DoResize: j.DoResize, Resample: j.Resample, DoRescale: j.DoRescale, RescaleFactor: j.RescaleFactor,
		DoNormalize: j.DoNormalize, Mean: j.Mean, Std: j.Std,
	}
	size := Size{Height: 224, Width: 224}
	if j.Size != nil {
		size = j.Size.size()
	}
	if j.CropPct != nil && (j.DoCenterCrop == nil || *j.DoCenterCrop) {
		p.CropPct = *j.CropPct
		if p.CropPct == 0 {
			return Preprocessor{}, fmt.Errorf("crop_pct 0: want 0.01 to 1")
		}
	}
	if p.DoCenterCrop = p.CropPct != 0; j.DoCenterCrop != nil {
		p.DoCenterCrop = *j.DoCenterCrop
	}
	if p.DoCenterCrop {
		// Its plain number or shortest edge is a square: there is nothing to keep the shape of.
		p.Crop = j.CropSize.size()
		if p.Crop == (Size{}) && p.CropPct != 0 {
			p.Crop = size
		}
		if e := p.Crop.ShortestEdge; e != 0 {
			p.Crop = Size{Height: e, Width: e}
		}
		if j.Size != nil && j.Size.plain {
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
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("preprocessor: %w", err)
	}
	j := preprocessorJSON{
		Type: "ViTImageProcessor", DoResize: p.DoResize, Size: sizeOf(p.Size), Resample: p.Resample,
		DoCenterCrop: &p.DoCenterCrop, DoRescale: p.DoRescale, RescaleFactor: p.RescaleFactor,
		DoNormalize: p.DoNormalize, Mean: p.Mean, Std: p.Std,
	}
	if p.DoCenterCrop {
		j.CropSize = sizeOf(p.Crop)
	}
	if p.CropPct != 0 {
		j.CropPct = &p.CropPct
	}
	b, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("preprocessor: %w", err)
	}
	return append(b, '\n'), nil
}

// shorten keeps an error message readable.
func shorten(b []byte) string {
	if len(b) > 60 {
		return string(b[:60]) + "…"
	}
	return string(b)
}
