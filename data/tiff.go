package data

import (
	"bytes"
	"image"

	"golang.org/x/image/tiff"
)

func isTIFF(b []byte) bool { return hasPrefix(b, "II*\x00") || hasPrefix(b, "MM\x00*") }

func headerTIFF(b []byte, _ limits) (header, error) {
	c, err := tiff.DecodeConfig(bytes.NewReader(b))
	return header{width: c.Width, height: c.Height}, err
}

func decodeTIFF(b []byte) (image.Image, error) { return tiff.Decode(bytes.NewReader(b)) }
