package report

import (
	"bytes"
	"fmt"
	"image"
	"image/png"

	"github.com/adavit/adavit/internal/atomicfile"
)

// WritePNG stores img as a PNG file. The file appears whole or not at all.
func WritePNG(path string, img image.Image) error {
	if p, ok := img.(*image.RGBA); img == nil || ok && p == nil || img.Bounds().Empty() {
		return fmt.Errorf("report: writing %s: empty picture", path)
	}
	b, err := encodePNG(img)
	if err != nil {
		return fmt.Errorf("report: writing %s: %w", path, err)
	}
	return writeFile(path, b)
}

func encodePNG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	if err := e.Encode(&b, img); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeFile(path string, data []byte) error {
	if err := atomicfile.WriteFile(path, data); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
