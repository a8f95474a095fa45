package data

import (
	"image"
	"testing"

	"github.com/adavit/adavit/picture"
)

func mustDecode(t testing.TB, path string) image.Image {
	t.Helper()
	img, err := picture.DecodeFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return img
}
