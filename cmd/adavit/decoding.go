package main

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/adavit/adavit/picture"
)

// decodingFlags adds the flags of all commands that read picture files, which say how.
func decodingFlags(cmd *cobra.Command, d *picture.Decoding) {
	f := cmd.Flags()
	f.Var((*exifFlag)(&d.Exif), "exif", "`what` to do with an orientation in EXIF: apply or ignore (default: as those "+
		"do whom the model comes from; transformers applies it, torchvision and timm ignore it)")
	f.Var((*pixelsFlag)(&d.MaxPixels), "max-pixels",
		fmt.Sprintf("refuse pictures of more than this `number` of pixels (default: Pillow's limit, %d)",
			picture.DefaultMaxPixels))
}

// overrides are those of a recipe that flags of decodingFlags stand for.
func decodingOverrides(d picture.Decoding) (overrides []string) {
	if d.Exif != picture.ExifOfModel {
		overrides = append(overrides, "exif="+string(d.Exif))
	}
	if d.MaxPixels > 0 {
		overrides = append(overrides, fmt.Sprintf("max_pixels=%d", d.MaxPixels))
	}
	return overrides
}

type exifFlag picture.Exif

func (e *exifFlag) String() string { return string(*e) }

func (e *exifFlag) Set(text string) error {
	*e = exifFlag(text)
	if err := (picture.Decoding{Exif: picture.Exif(text)}).Check(); text == "" || err != nil {
		return errors.New("want apply or ignore")
	}
	return nil
}

func (*exifFlag) Type() string { return "string" }

type pixelsFlag int64

func (p *pixelsFlag) String() string {
	if *p == 0 {
		return "" // the default, which the usage names
	}
	return strconv.FormatInt(int64(*p), 10)
}

func (p *pixelsFlag) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return errors.New("want a number of pixels, 1 or more")
	}
	*p = pixelsFlag(n)
	return nil
}

func (*pixelsFlag) Type() string { return "number" }
