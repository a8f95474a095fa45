package picture

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// preprocessorJSON is preprocessor_config.json. Pointers tell what is absent.
type preprocessorJSON struct {
	Type          string          `json:"image_processor_type,omitempty"`
	DoResize      *bool           `json:"do_resize"`
	Size          json.RawMessage `json:"size,omitempty"`
	Resample      *int            `json:"resample"`
	DoCenterCrop  *bool           `json:"do_center_crop"`
	CropSize      json.RawMessage `json:"crop_size,omitempty"`
	CropPct       *float64        `json:"crop_pct,omitempty"`
	DoRescale     *bool           `json:"do_rescale"`
	RescaleFactor *float64        `json:"rescale_factor"`
	DoNormalize   *bool           `json:"do_normalize"`
	Mean          json.RawMessage `json:"image_mean,omitempty"`
	Std           json.RawMessage `json:"image_std,omitempty"`
}

// sizeJSON is the form of a size that is not a plain number.
type sizeJSON struct {
	Height       int `json:"height,omitempty"`
	Width        int `json:"width,omitempty"`
	ShortestEdge int `json:"shortest_edge,omitempty"`
}

// ParsePreprocessor reads preprocessor_config.json; name stands for the file in
// errors. Unknown keys are ignored, absent ones have ViTImageProcessor's values
// (resize to 224×224, bilinear; no crop; 1/255; mean and deviation ½).
//
// A size may be {"height", "width"}, {"shortest_edge"} or a plain number. The
// number is the shortest edge if a centre crop follows, as in DeiT's and
// torchvision's evaluation, and both sides of a square if none does. crop_pct
// implies the crop, unless do_center_crop forbids it; its size is then crop_size or,
// without one, size.
func ParsePreprocessor(name string, b []byte) (Preprocessor, error) {
	p, err := parsePreprocessor(b)
	if err != nil {
		return Preprocessor{}, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func parsePreprocessor(b []byte) (Preprocessor, error) {
	var j preprocessorJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return Preprocessor{}, err
	}
	p := Preprocessor{
		DoResize:      or(j.DoResize, true),
		Resample:      or(j.Resample, Bilinear),
		DoRescale:     or(j.DoRescale, true),
		RescaleFactor: or(j.RescaleFactor, 1.0/255),
		DoNormalize:   or(j.DoNormalize, true),
	}
	var err error
	if p.Mean, err = parseNumbers("image_mean", j.Mean); err != nil {
		return Preprocessor{}, err
	}
	if p.Std, err = parseNumbers("image_std", j.Std); err != nil {
		return Preprocessor{}, err
	}
	size, plain, err := parseSize("size", j.Size)
	if err != nil {
		return Preprocessor{}, err
	}
	if size == (Size{}) {
		size = Size{Height: 224, Width: 224}
	}
	if j.CropPct != nil && or(j.DoCenterCrop, true) {
		p.CropPct = *j.CropPct
		if p.CropPct == 0 {
			return Preprocessor{}, fmt.Errorf("crop_pct 0: want 0.01 to 1")
		}
	}
	p.DoCenterCrop = or(j.DoCenterCrop, p.CropPct != 0)
	if p.DoCenterCrop {
		// Its plain number or shortest edge is a square: there is nothing to keep the shape of.
		if p.Crop, _, err = parseSize("crop_size", j.CropSize); err != nil {
			return Preprocessor{}, err
		}
		if p.Crop == (Size{}) && p.CropPct != 0 {
			p.Crop = size
		}
		if e := p.Crop.ShortestEdge; e != 0 {
			p.Crop = Size{Height: e, Width: e}
		}
		if plain {
			size = Size{ShortestEdge: size.Height}
		}
	}
	if p.DoResize && p.CropPct == 0 {
		p.Size = size
	}
	return p, p.validate()
}

// parseSize reads a size; plain says that it was a number, which gives a square.
// A missing one is the zero Size.
func parseSize(key string, b json.RawMessage) (s Size, plain bool, err error) {
	if absent(b) {
		return Size{}, false, nil
	}
	var n int
	if json.Unmarshal(b, &n) == nil {
		if n < 1 || n > MaxSide {
			return Size{}, false, fmt.Errorf("%s %d: want 1 to %d", key, n, MaxSide)
		}
		return Size{Height: n, Width: n}, true, nil
	}
	var j sizeJSON
	if err := json.Unmarshal(b, &j); err != nil || j == (sizeJSON{}) {
		return Size{}, false, fmt.Errorf(`%s %s: want a whole number, {"height", "width"} or {"shortest_edge"}`, key, shorten(b))
	}
	return Size(j), false, nil
}

// parseNumbers reads a list of numbers or a single one; a missing one gives ½,
// ViTImageProcessor's value.
func parseNumbers(key string, b json.RawMessage) ([]float64, error) {
	if absent(b) {
		return []float64{0.5}, nil
	}
	var one float64
	if json.Unmarshal(b, &one) == nil {
		return []float64{one}, nil
	}
	var list []float64
	if err := json.Unmarshal(b, &list); err != nil || len(list) == 0 || len(list) > 16 {
		return nil, fmt.Errorf("%s %s: want a list of numbers, one for each channel", key, shorten(b))
	}
	return list, nil
}

// Marshal is preprocessor_config.json, which ParsePreprocessor reads back as p.
func (p Preprocessor) Marshal() ([]byte, error) {
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("preprocessor: %w", err)
	}
	j := preprocessorJSON{
		Type: "ViTImageProcessor", DoResize: &p.DoResize, Resample: &p.Resample, DoCenterCrop: &p.DoCenterCrop,
		DoRescale: &p.DoRescale, RescaleFactor: &p.RescaleFactor, DoNormalize: &p.DoNormalize,
	}
	var err error
	raw := func(v any) json.RawMessage {
		b, e := json.Marshal(v)
		if e != nil {
			err = e
		}
		return b
	}
	if p.Size != (Size{}) {
		j.Size = raw(sizeJSON(p.Size))
	}
	if p.DoCenterCrop && p.Crop != (Size{}) {
		j.CropSize = raw(sizeJSON(p.Crop))
	}
	if p.CropPct != 0 {
		j.CropPct = &p.CropPct
	}
	if len(p.Mean) > 0 {
		j.Mean = raw(p.Mean)
	}
	if len(p.Std) > 0 {
		j.Std = raw(p.Std)
	}
	if err != nil {
		return nil, fmt.Errorf("preprocessor: %w", err)
	}
	b, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("preprocessor: %w", err)
	}
	return append(b, '\n'), nil
}

// or is *v, or the value that stands for an absent one.
func or[T any](v *T, absent T) T {
	if v == nil {
		return absent
	}
	return *v
}

// absent reports whether a key is missing or null.
func absent(b json.RawMessage) bool { return len(b) == 0 || bytes.Equal(b, []byte("null")) }

// shorten keeps an error message readable.
func shorten(b []byte) string {
	if len(b) > 60 {
		return string(b[:60]) + "…"
	}
	return string(b)
}
