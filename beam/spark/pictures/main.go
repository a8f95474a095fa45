// Pictures makes what prove scores: pictures DIR COUNT writes COUNT pictures into DIR/in, Fashion-MNIST's test images
// enlarged, every hundredth of them damaged, and a model with random weights that takes some milliseconds for each into
// DIR/model.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strconv"

	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "pictures: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: pictures DIR COUNT")
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	if err := makeModel(filepath.Join(args[0], "model")); err != nil {
		return err
	}
	d, err := datasets.FashionMNISTTest()
	if err != nil {
		return err
	}
	in := filepath.Join(args[0], "in")
	if err := os.MkdirAll(in, 0o777); err != nil {
		return err
	}
	_, h, w := d.Size()
	for i := range count {
		img := image.NewGray(image.Rect(0, 0, w, h))
		if err := d.Pixels(img.Pix, i%d.Len()); err != nil {
			return err
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			return err
		}
		content := b.Bytes()
		if i%100 == 99 {
			content = content[:len(content)/2]
		}
		if err := os.WriteFile(filepath.Join(in, fmt.Sprintf("%05d.png", i)), content, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// makeModel saves a DeiT-Ti of three blocks whose tokens halt at different depths.
func makeModel(dir string) error {
	c, err := vit.Variant("deit-tiny")
	if err != nil {
		return err
	}
	c.Layers, c.Classes = 3, 10
	c.Halting = halting.Config{Scheme: "token"}.With("gate_scale", 4).With("gate_center", 0.5)
	m := &vit.Model{Params: vit.Initialize(c, 1, 0),
		Preprocessor: picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)}
	return vit.Save(dir, m, weights.F32)
}
