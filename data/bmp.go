package data

import (
	"bytes"
	"image"

	"golang.org/x/image/bmp"
)

func isBMP(b []byte) bool { return hasPrefix(b, "BM") }

func headerBMP(b []byte, _ limits) (header, error) {
	c, err := bmp.DecodeConfig(bytes.NewReader(b))
	return header{width: c.Width, height: c.Height, least: int64(c.Width) * int64(c.Height) / 8}, err
}

func decodeBMP(b []byte) (image.Image, error) { return bmp.Decode(bytes.NewReader(b)) }
