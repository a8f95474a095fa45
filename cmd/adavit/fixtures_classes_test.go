package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// folders writes models that know pictures by heart, pictures/0.png …, and folders of such pictures. A class's picture
// is that of its place in the model: abc knows 0 to 2 as a, b, c, and numbers 12 of them as LABEL_0, ….
//
//	bcd        b, c as abc has them, and d        bca       c, b and a
//	numbered   0 … 11                             padded    0000 … 0011
//	wrong      a class's pictures are another's   damaged   abc with an empty and a cut file
//	three      train, val and test, of which half of test is of another class
//	flat       pictures and labels.csv            big       abc with a picture of 400 megapixels
func (f fixtures) folders() {
	var pictures []image.Image
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 12 {
		img := image.NewRGBA(image.Rect(0, 0, 16, 16))
		for k := range img.Pix {
			if img.Pix[k] = byte(rng.UintN(256)); k%4 == 3 {
				img.Pix[k] = 255
			}
		}
		pictures = append(pictures, img)
		var b bytes.Buffer
		f.check(png.Encode(&b, img))
		f.file(fmt.Sprintf("pictures/%d.png", i), b.Bytes())
	}
	f.knowing("abc", pictures[:3], "a", "b", "c")
	f.knowing("xyz", pictures[:3], "x", "y", "z")
	f.knowing("numbers", pictures, strings.Fields("LABEL_0 LABEL_1 LABEL_2 LABEL_3 LABEL_4 LABEL_5 LABEL_6 LABEL_7 "+
		"LABEL_8 LABEL_9 LABEL_10 LABEL_11")...)
	put := func(path string, picture int) {
		f.file(path, f.read(fmt.Sprintf("pictures/%d.png", picture)))
	}
	for class, picture := range map[string]int{"bcd/b": 1, "bcd/c": 2, "bcd/d": 3, "bca/a": 0, "bca/b": 1, "bca/c": 2,
		"wrong/a": 1, "wrong/b": 2, "wrong/c": 0, "big/a": 0, "big/b": 1, "damaged/a": 0, "damaged/b": 1, "damaged/c": 2,
		"three/train/a": 0, "three/train/b": 1, "three/train/c": 2, "three/val/a": 0, "three/val/b": 1,
		"three/test/a": 1, "three/test/b": 1} {
		for i := range 4 {
			put(fmt.Sprintf("%s/%d.png", class, i), picture)
		}
	}
	for i := range 12 {
		for k := range 4 {
			put(fmt.Sprintf("numbered/%d/%d.png", i, k), i)
		}
		put(fmt.Sprintf("padded/%04d/1.png", i), i)
	}
	for i := range 3 {
		put(fmt.Sprintf("flat/images/%d.png", i), i)
	}
	f.file("flat/labels.csv", []byte("file,label\n0.png,a\n1.png,b\n2.png,c\n"))
	f.file("damaged/a/empty.png", nil)
	f.file("damaged/b/cut.jpg", f.read("pictures/1.png")[:200])
	big := f.read("pictures/0.png")
	binary.BigEndian.PutUint32(big[16:], 20000)
	binary.BigEndian.PutUint32(big[20:], 20000)
	binary.BigEndian.PutUint32(big[29:], crc32.ChecksumIEEE(big[12:29]))
	f.file("big/a/big.png", append(big, make([]byte, 3<<20)...))
}

// knowing writes a model whose class i is what it finds nearest to picture i.
func (f fixtures) knowing(name string, pictures []image.Image, labels ...string) {
	c := vit.Config{Embed: 32, Heads: 2, Layers: 1, Hidden: 64, Height: 16, Width: 16, Patch: 8, Channels: 3, Classes: 32,
		Eps: 1e-6, Halting: halting.Dense()}
	prep := picture.DefaultPreprocessor(16, 16, 3)
	seen := vit.Initialize(c, 1, 0.3)
	clear(seen.HeadWeight)
	for i := range c.Classes { // logits are the class token
		seen.HeadWeight[i*c.Embed+i] = 1
	}
	packed, err := infer.Pack(seen, infer.F32)
	f.check(err)
	engine, err := infer.New(packed, infer.Options{Threads: 1})
	f.check(err)
	defer engine.Close()
	c.Classes, c.Labels = len(labels), labels
	p := vit.Initialize(c, 1, 0.3)
	pixels, input := make([]byte, c.ImageLen()), make([]float32, c.ImageLen())
	for i, img := range pictures {
		f.check(prep.Bytes(pixels, img, c.Channels, c.Height, c.Width))
		prep.Normalize(input, pixels, c.Channels, c.Height, c.Width)
		var out infer.Output
		f.check(engine.Run(f.t.Context(), infer.Batch{Images: input}, &out))
		copy(p.HeadWeight[i*c.Embed:], out.Logits)
		p.HeadBias[i] = 0
		for _, v := range out.Logits {
			p.HeadBias[i] -= v * v / 2
		}
	}
	f.check(vit.Save(filepath.Join(f.dir, name), &vit.Model{Params: p, Preprocessor: prep}, weights.F32))
}
