package picture

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestOrientation compares all orientations, and the other formats that hold EXIF, with Pillow's
// ImageOps.exif_transpose; Pillow wrote the files too. Each is the same 9×6 pixels under another orientation.
func TestOrientation(t *testing.T) {
	plain := mustParse(t, `{"do_resize": false}`)
	for o := range 10 {
		name := fmt.Sprintf("%d.png", o)
		switch o {
		case 0:
			name = "6.webp"
		case 9:
			name = "6.jpg"
		}
		upright := "testdata/orientation/" + strings.TrimSuffix(name, ".png") + ".rgb.png"
		turned, err := Decoding{Exif: ExifApply}.File("testdata/orientation/" + name)
		if err != nil {
			t.Fatal(err)
		}
		want := mustDecode(t, upright)
		if turned.Bounds() != want.Bounds() {
			t.Fatalf("%s: %v, want %v", name, turned.Bounds(), want.Bounds())
		}
		if worst, _ := compare(t, plain, turned, 3, want); worst > 0 {
			t.Errorf("%s: differs from Pillow by up to %d", name, worst)
		}
		// Not asked for, it does nothing.
		asStored := mustDecode(t, "testdata/orientation/"+name)
		if worst, _ := compare(t, plain, asStored, 3, mustDecode(t, "testdata/orientation/1.png")); worst > 0 &&
			name != "6.jpg" {
			t.Errorf("%s: turned without being asked, by up to %d", name, worst)
		}
	}
}

func TestExifOrientation(t *testing.T) {
	const sound = "MM\x00*\x00\x00\x00\x08\x00\x02\x01\x0f\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00" +
		"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
	for exif, want := range map[string]int{
		sound:                      6,
		"Exif\x00\x00" + sound:     6,
		"":                         1,
		"Exif\x00\x00":             1,
		sound[:len(sound)-1]:       1,
		"XX" + sound[2:]:           1,
		"MM\x00*\xff\xff\xff\xff":  1,
		"MM\x00*\x00\x00\x00\x07x": 1,
		// there are eight
		strings.Replace(sound, "\x00\x06\x00\x00", "\x00\x09\x00\x00",
			1): 1,
		// of another type
		strings.Replace(sound, "\x01\x12\x00\x03", "\x01\x12\x00\x04",
			1): 1,
		"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x03\x00\x00\x00": 3,
		"II*\x00\x08\x00\x00\x00\xff\xff\x12\x02\x03\x00\x01\x00\x00\x00\x03\x00\x00\x00" +
			strings.Repeat("\x00", 12*4)[:1]: 1,
	} {
		if got := orientation([]byte(exif), nil); got != want {
			t.Errorf("% x: orientation %d, want %d", exif, got, want)
		}
	}
	// Damage to EXIF does not cost the picture.
	b, err := os.ReadFile("testdata/orientation/6.jpg")
	if err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(b), "Exif\x00\x00")
	for k := range 30 {
		damaged := []byte(string(b))
		damaged[i+k] ^= 0xff
		if _, err := (Decoding{Exif: ExifApply}).Image("x.jpg", strings.NewReader(string(damaged))); err != nil {
			t.Errorf("byte %d: %v", k, err)
		}
	}
}
