package report

import (
	"bytes"
	"errors"
	"image/color"
	"testing"
)

// plain is a picture of one grey value.
func plain(w, h, channels int, v byte, caption string) Sample {
	return Sample{Title: caption, Pixels: bytes.Repeat([]byte{v}, w*h*channels), Width: w, Height: h, Channels: channels}
}

// TestSheet finds every picture where it should be: as many pixels of its colour
// as it has when it is enlarged, in the order of the rows and columns.
func TestSheet(t *testing.T) {
	rows := []SheetRow{
		{"first", []Sample{
			plain(28, 28, 1, 11, ""), plain(28, 28, 1, 22, "a caption\nof two lines"), plain(28, 28, 3, 33, ""),
		}},
		{"second, whose name is rather too long to be shown as a whole beside its pictures", []Sample{
			plain(28, 28, 1, 44, ""), plain(14, 28, 1, 55, ""),
		}},
	}
	columns := []string{"original", "1", "2", "one too many"}
	img, err := Sheet(rows, FigureOptions{Title: "Title", Subtitle: "Subtitle", Columns: columns, Size: 84})
	if err != nil {
		t.Fatal(err)
	}
	type box struct{ n, left, top int }
	found := map[byte]box{}
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			c := img.At(x, y).(color.RGBA)
			if c.R == c.G && c.G == c.B && c.R%11 == 0 && c.R > 0 && c.R <= 55 {
				b, ok := found[c.R]
				if !ok {
					b = box{0, x, y}
				}
				b.n, b.left = b.n+1, min(b.left, x)
				found[c.R] = b
			}
		}
	}
	for v, n := range map[byte]int{11: 84 * 84, 22: 84 * 84, 33: 84 * 84, 44: 84 * 84, 55: 42 * 84} {
		// Letters' edges may have such a grey by chance.
		if b := found[v]; b.n < n || b.n > n+60 {
			t.Errorf("%d pixels of value %d, want %d", b.n, v, n)
		}
	}
	a, b, c, d := found[11], found[22], found[33], found[44]
	if !(a.left < b.left && b.left < c.left && a.top == b.top && a.left == d.left && a.top < d.top) {
		t.Errorf("wrong places: %v", found)
	}

	if _, err := Sheet(nil, FigureOptions{}); err == nil {
		t.Error("a sheet of nothing")
	}
	bad := plain(3, 3, 1, 0, "")
	bad.Width = 4
	if _, err := Sheet([]SheetRow{{"x", []Sample{bad}}}, FigureOptions{}); !errors.Is(err, ErrSample) {
		t.Errorf("a picture with too few bytes: %v", err)
	}
	if _, err := Sheet(make([]SheetRow, 1000000), FigureOptions{}); err == nil {
		t.Error("rows without pictures")
	}
	large := SheetRow{"x", make([]Sample, 500)}
	for i := range large.Pictures {
		large.Pictures[i] = plain(2, 2, 1, 0, "")
	}
	if _, err := Sheet([]SheetRow{large, large}, FigureOptions{Size: 1024}); err == nil {
		t.Error("a sheet of 500 000 pixels' width")
	}
}
