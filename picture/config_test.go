package picture

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPreprocessorConfig(t *testing.T) {
	// A plain number is a square without a crop, the shortest edge with one.
	if p := mustParse(t, `{"size": 32, "unknown": {}}`); p.Size != (Size{Height: 32, Width: 32}) ||
		p.Resample != Bilinear {
		t.Errorf("%+v", p)
	}
	if p := mustParse(t, `{"size": 36, "crop_size": 32, "do_center_crop": true}`); p.Size != (Size{ShortestEdge: 36}) ||
		p.Crop != (Size{Height: 32, Width: 32}) {
		t.Errorf("%+v", p)
	}
	if p := mustParse(t, `{"size": [32, 48], "resample": "bicubic"}`); p.Size != (Size{Height: 32, Width: 48}) ||
		p.Resample != Bicubic {
		t.Errorf("%+v", p)
	}
	for _, config := range []string{
		`{"size": 36, "crop_size": 32, "do_center_crop": true, "image_processor_type": "BitImageProcessor"}`,
		`{"size": 36, "crop_pct": 0.9, "crop_down": true}`, `{}`,
		`{"size": 36, "crop_size": 32, "do_center_crop": true, "resample": 3, "image_mean": 0.5}`,
		`{"size": 224, "crop_pct": 0.9}`, `{"do_resize": false, "do_normalize": false, "do_rescale": false}`,
		`{"size": {"shortest_edge": 20}, "do_center_crop": true, "rescale_factor": 0.5}`,
	} {
		p := mustParse(t, config)
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, mustParse(t, string(b))); diff != "" {
			t.Errorf("%s: read back (-was +is):\n%s", config, diff)
		}
	}
	for config, want := range map[string]string{
		``:                             "unexpected end",
		`[]`:                           "an array where an object was expected",
		`{"do_resize": 1}`:             "do_resize",
		`{"size": 0}`:                  `"size": 0`,
		`{"size": -4}`:                 `"size": -4`,
		`{"size": 1e9}`:                "size",
		`{"size": {"longest_edge":4}}`: "size",
		`{"size": {"height": 4}}`:      "size",
		`{"size": [4]}`:                "size",
		`{"size": [4, 0], "crop": 1}`:  "size",
		`{"resample": 0}`:              "resample 0",
		`{"resample": "lanczos"}`:      `"lanczos": want 2 or "bilinear"`,
		`{"do_center_crop": true, "crop_size": {"height": 3, "width": -1}}`: "crop_size",
		`{"crop_pct": 0}`:          "crop_pct",
		`{"crop_pct": 1.5}`:        "crop_pct",
		`{"rescale_factor": 0}`:    "rescale_factor",
		`{"image_std": [1, 0, 1]}`: "image_std",
		`{"image_std": [1e-60]}`:   "image_std",
		`{"image_mean": "a"}`:      "image_mean",
		`{"image_mean": []}`:       "image_mean",
		`{"pillow": -1}`:           "pillow -1",
		`{"image_mean": [1e300]}`:  "image_mean",
		`{"image_mean": [NaN]}`:    "invalid character",
	} {
		_, err := ParsePreprocessor("dir/preprocessor_config.json", []byte(config))
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "dir/preprocessor_config.json") {
			t.Errorf("%s: error %v, want one that names the file and %q", config, err, want)
		}
	}
}

// TestPreprocessorExif: what a model's world does with EXIF, and what a user may say.
func TestPreprocessorExif(t *testing.T) {
	for config, want := range map[string]bool{
		`{"image_processor_type": "ViTImageProcessor"}`:                             true,
		`{"feature_extractor_type": "ViTFeatureExtractor"}`:                         true,
		`{"image_processor_type": "ViTImageProcessor", "do_exif_transpose": false}`: false,
		`{"do_exif_transpose": true}`:                                               true,
		`{"size": 224}`:                                                             false,
	} {
		p := mustParse(t, config)
		if p.Exif != want {
			t.Errorf("%s: EXIF %v, want %v", config, p.Exif, want)
		}
		if d := p.DecodedBy(Decoding{Exif: ExifIgnore, MaxPixels: 7}).Decoding(); d != (Decoding{ExifIgnore, 7}) {
			t.Errorf("%s: asked to ignore it, %+v", config, d)
		}
		if d := p.DecodedBy(Decoding{Exif: ExifApply}).Decoding(); d != (Decoding{ExifApply, 0}) {
			t.Errorf("%s: asked to apply it, %+v", config, d)
		}
		if d := p.DecodedBy(Decoding{}).Decoding(); (d.Exif == ExifApply) != want {
			t.Errorf("%s: left to the model, %+v", config, d)
		}
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if again := mustParse(t, string(b)); again.Exif != want {
			t.Errorf("%s: EXIF %v once it was written and read", config, again.Exif)
		}
	}
	if err := (Preprocessor{}).DecodedBy(Decoding{MaxPixels: 5}).Check(3, 32, 32); err == nil ||
		!strings.Contains(err.Error(), "no preprocessor_config.json") {
		t.Errorf("a model without a preprocessor: %v", err)
	}
	for _, d := range []Decoding{{Exif: "turn"}, {MaxPixels: -1}} {
		if d.Check() == nil {
			t.Errorf("%+v was accepted", d)
		}
	}
}
