package picture

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pillowEnv names the folder that picture/_pillow/run makes.
const pillowEnv = "ADAVIT_PILLOW"

// pillowAim is the least share that is to have Pillow's bytes here, of what Pillow reads of a format and we do not say
// that we do not.
var pillowAim = map[string]float64{
	"JPEG": 0.99, "MPO": 0.99, "PNG": 0.99, "GIF": 0.97, "WEBP": 0.97, "BMP": 0.97, "TIFF": 0.97, "PPM": 0.97,
}

// TestPillowsOwnPictures reads the test images in Pillow's own source package and compares them with what Pillow makes
// of them. It prints a table by format and names each file that differs or is refused.
func TestPillowsOwnPictures(t *testing.T) {
	dir := os.Getenv(pillowEnv)
	if dir == "" {
		t.Skip("picture/_pillow/run fetches Pillow's test images (47 MB) and runs this test on them")
	}
	b, err := os.ReadFile(filepath.Join(dir, "pictures.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	type tally struct{ read, same, other, named, failed int }
	tallies := map[string]*tally{}
	var exceptions []string
	for line := range bytes.Lines(b) {
		var p struct {
			Path, Format, Mode, SHA256, Error string
			Width, Height                     int
		}
		if err := json.Unmarshal(line, &p); err != nil {
			t.Fatal(err)
		}
		if p.Error != "" {
			continue
		}
		if tallies[p.Format] == nil {
			tallies[p.Format] = &tally{}
		}
		c := tallies[p.Format]
		c.read++
		img, err := DecodeFile(filepath.Join(dir, "Tests", p.Path))
		what := ""
		switch {
		case err != nil && strings.Contains(err.Error(), "panicked"):
			t.Error(err)
		case err != nil:
			if _, what, _ = strings.Cut(err.Error(), ": "); strings.Contains(what, "not supported") {
				c.named++
			} else {
				c.failed++
			}
		case digest(img) != digestOf(p.Width, p.Height, p.SHA256):
			c.other++
			what = "other pixels"
		default:
			c.same++
		}
		if _, ours := pillowAim[p.Format]; ours && what != "" {
			exceptions = append(exceptions, fmt.Sprintf("%-5s %s (%s): %s", p.Format, p.Path, p.Mode, what))
		} else if err == nil && !ours {
			exceptions = append(exceptions, fmt.Sprintf("%-5s %s: read, though it is none of ours", p.Format, p.Path))
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "\n%-10s %9s %16s %13s %14s %7s\n", "format", "by Pillow", "Pillow's pixels", "other pixels",
		"not supported", "refused")
	for _, name := range slices.SortedFunc(maps.Keys(tallies), func(a, b string) int {
		return cmp.Or(cmp.Compare(tallies[b].read, tallies[a].read), cmp.Compare(a, b))
	}) {
		c := tallies[name]
		fmt.Fprintf(&out, "%-10s %9d %16d %13d %14d %7d\n", name, c.read, c.same, c.other, c.named, c.failed)
		if ours := c.read - c.named; float64(c.same) < pillowAim[name]*float64(ours) {
			t.Errorf("%s: %d of %d have Pillow's pixels, want %.0f %%", name, c.same, ours, 100*pillowAim[name])
		}
	}
	t.Log(out.String() + "\n" + strings.Join(exceptions, "\n"))
}

// digest tells a picture's size and pixels as RGB.
func digest(img image.Image) string {
	h, size := sha256.New(), img.Bounds().Size()
	for y := range size.Y {
		h.Write(rgbRow(img, y))
	}
	return digestOf(size.X, size.Y, hex.EncodeToString(h.Sum(nil)))
}

// rgbRow is a row of a picture as RGB.
func rgbRow(img image.Image, y int) []byte {
	src := readRows(img, 3)
	line := make([]byte, src.step*src.width)
	src.row(y, line)
	for x := range src.width {
		copy(line[3*x:][:3], line[src.step*x:])
	}
	return line[:3*src.width]
}

func digestOf(width, height int, sum string) string { return fmt.Sprint(width, "×", height, " ", sum) }
