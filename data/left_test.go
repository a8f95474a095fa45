package data

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"sync/atomic"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/picture"
)

// TestTooLarge: a picture of too many pixels is left out, but it is not damaged, and no limit of damage keeps it from
// being left out. Check finds both before a run.
func TestTooLarge(t *testing.T) {
	dir := layout(t, "a/{1,2,3,4}.png\nb/{1,2,3}.png\nb/4.png: no picture")
	huge := plain(t, 3, 3, 7)
	binary.BigEndian.PutUint32(huge[16:], 1<<15)
	binary.BigEndian.PutUint32(huge[20:], 1<<15)
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	for _, name := range []string{"2.png", "3.png"} {
		filetest.Write(t, append(huge, make([]byte, 2<<20)...), dir, "a", name)
	}
	d, err := Open(dir, Train)
	filetest.Check(t, err)
	var logged atomic.Int64
	tol := Tolerant(d, 0.1, func(int, error) { logged.Add(1) })
	if c := ContentsOf("train", tol); c.Checked || c.Pictures != 8 || c.Damaged != 0 || c.TooLarge != 0 {
		t.Errorf("before: %+v", c)
	}
	filetest.Check(t, tol.Check(t.Context(), picture.Decoding{}))
	if c := ContentsOf("train", tol); !c.Checked || c.Damaged != 1 || c.TooLarge != 2 || logged.Load() != 3 {
		t.Errorf("after: %+v, %d logged", c, logged.Load())
	}
	for i := range 8 {
		if Replaced(tol, i) != (i == 1 || i == 2 || i == 7) || TooLarge(tol, i) != (i == 1 || i == 2) {
			t.Errorf("picture %d: replaced %v, too large %v", i, Replaced(tol, i), TooLarge(tol, i))
		}
	}
	if img, err := tol.Image(1, picture.Decoding{}); err != nil || img.Bounds().Dx() != 3 {
		t.Error(err)
	}
	err = Tolerant(d, 0, nil).Check(t.Context(), picture.Decoding{})
	filetest.WantError(t, err, "1 of 8 met, where 0 are borne; the first is", "4.png")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Tolerant(d, 1, nil).Check(ctx, picture.Decoding{}); !errors.Is(err, context.Canceled) {
		t.Errorf("asked to stop: %v", err)
	}
	none, err := Subset(d, []int{1, 2})
	filetest.Check(t, err)
	_, err = Tolerant(none, 0, nil).Image(0, picture.Decoding{})
	filetest.WantError(t, err, "all of the 2 pictures are too large")
}

// TestUnread: pictures of a format that is not read do not go missing: they count as pictures, and say what they are.
func TestUnread(t *testing.T) {
	dir := layout(t, "a/{1,2}.png\na/notes.txt: n\nb/3.HEIC: \x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
	if got := described(t, dir); got != "train a:2 b:1 - 1 not a picture (notes.txt)" {
		t.Error(got)
	}
	d, err := Open(dir, Train)
	filetest.Check(t, err)
	_, err = Image(d, 2, picture.Decoding{})
	filetest.WantError(t, err, "3.HEIC: a HEIC picture, which is not supported")
}
