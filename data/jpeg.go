package data

import (
	"bytes"
	"image"
	"image/jpeg"
)

func isJPEG(b []byte) bool { return hasPrefix(b, "\xff\xd8\xff") }

func headerJPEG(b []byte, _ limits) (header, error) {
	c, err := jpeg.DecodeConfig(bytes.NewReader(b))
	return header{width: c.Width, height: c.Height}, err
}

func decodeJPEG(b []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(b)) }
