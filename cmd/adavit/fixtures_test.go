package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/adavit/adavit/datasets"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/picture"
	"github.com/adavit/adavit/vit"
	"github.com/adavit/adavit/weights"
)

// writeFixtures fills dir with models, tensors, images and data sets, sound ones and bad ones.
func writeFixtures(t *testing.T, dir string) {
	t.Helper()
	f := fixtures{t, dir}
	f.models()
	f.tensors()
	f.images()
	f.data()
	f.recipe()
	f.folders()
}

type fixtures struct {
	t   *testing.T
	dir string
}

func (f fixtures) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f fixtures) file(name string, content []byte) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	f.check(os.MkdirAll(filepath.Dir(path), 0o777))
	f.check(os.WriteFile(path, content, 0o666))
}

func (f fixtures) read(name string) []byte {
	f.t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, name))
	f.check(err)
	return b
}

// readReference returns a file of results of the published PyTorch code and the model that they were made with.
func readReference(t *testing.T, name string) (*weights.File, *vit.Model) {
	t.Helper()
	file, err := weights.ReadSafetensors(filepath.Join("..", "..", "testdata", "reference", name+".safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	number := func(key string) float64 {
		v, err := strconv.ParseFloat(file.Metadata[key], 64)
		if err != nil {
			t.Fatalf("%s: metadata %s: %v", name, key, err)
		}
		return v
	}
	n := func(key string) int { return int(number(key)) }
	c := vit.Config{Embed: n("embed_dim"), Heads: n("num_heads"), Layers: n("depth"),
		Hidden: n("embed_dim") * n("mlp_ratio"), Height: n("img_size"), Width: n("img_size"),
		Patch: n("patch_size"), Channels: 3, Classes: n("num_classes"), Eps: number("layer_norm_eps"),
		Halting: halting.Config{Scheme: "token"}.With("gate_scale", number("gate_scale")).With("gate_center",
			number("gate_center")).With("epsilon", number("halt_eps"))}
	p := vit.NewParams(c)
	for _, dst := range p.Tensors() {
		tensor, _ := file.Get("weights." + dst.Name)
		if err := tensor.CopyFloat32s(dst.Data); err != nil {
			t.Fatal(err)
		}
	}
	return file, &vit.Model{Params: p, Preprocessor: picture.DefaultPreprocessor(c.Height, c.Width, c.Channels)}
}

// models writes micro (the reference's weights, adaptive), exif (micro as transformers would have it: a
// preprocessor_config.json that does not speak of EXIF), bare (micro without preprocessor_config.json), tiny (28×28
// grey images, dense, random), and bad ones: nan, truncated, missing (no weights), shape (config.json of another
// depth), junk (config.json is no JSON), policy (unknown key in "halting").
func (f fixtures) models() {
	_, micro := readReference(f.t, "micro")
	f.check(vit.Save(filepath.Join(f.dir, "micro"), micro, weights.F32))
	c, err := vit.Variant("fashion-small")
	f.check(err)
	test, err := datasets.FashionMNISTTest()
	f.check(err)
	c.Layers, c.Labels = 2, test.Classes()
	tiny := &vit.Model{Params: vit.Initialize(c, 1, 0), Preprocessor: picture.DefaultPreprocessor(28, 28, 1)}
	f.check(vit.Save(filepath.Join(f.dir, "tiny"), tiny, weights.F16))

	stored := f.read("micro/model.safetensors")
	config := f.read("micro/config.json")
	bad := func(name string, config, stored []byte) {
		f.file(name+"/preprocessor_config.json", f.read("micro/preprocessor_config.json"))
		f.file(name+"/config.json", config)
		if stored != nil {
			f.file(name+"/model.safetensors", stored)
		}
	}
	nan := bytes.Clone(stored)
	copy(nan[len(nan)-4:], []byte{0, 0, 0xc0, 0x7f})
	bad("nan", config, nan)
	bad("truncated", config, stored[:len(stored)/2])
	bad("missing", config, nil)
	f.file("exif/config.json", config)
	f.file("exif/model.safetensors", stored)
	f.file("exif/preprocessor_config.json", bytes.Replace(f.read("micro/preprocessor_config.json"),
		[]byte("  \"do_exif_transpose\": false,\n"), nil, 1))
	f.file("bare/config.json", config) // sound, but says nothing about pictures
	f.file("bare/model.safetensors", stored)
	bad("shape", bytes.Replace(config, []byte(`"num_hidden_layers": 4`), []byte(`"num_hidden_layers": 5`), 1), stored)
	bad("junk", []byte("{"), stored)
	bad("policy", bytes.Replace(config, []byte(`"gate_scale"`), []byte(`"gate_scala"`), 1), stored)
}

// tensors writes x (the reference's input and labels) and bad inputs for predict.
func (f fixtures) tensors() {
	file, _ := readReference(f.t, "micro")
	input, _ := file.Get("input")
	labels, _ := file.Get("labels")
	values, err := input.Float32s()
	f.check(err)
	write := func(name string, tensors ...weights.Tensor) {
		f.check(weights.WriteSafetensors(filepath.Join(f.dir, name+".safetensors"), nil, tensors))
	}
	write("x", input, labels)
	write("x-unlabelled", input)
	write("x-labels", input, weights.Int32Tensor("labels", []int{4}, []int32{0, 1, 2, 10}))
	write("x-labels-shape", input, weights.Int32Tensor("labels", []int{3}, []int32{0, 1, 2}))
	write("x-labels-type", input, weights.Float32Tensor("labels", []int{4}, make([]float32, 4)))
	write("x-shape", weights.Float32Tensor("input", []int{12, 32, 32}, values), labels)
	write("x-size", weights.Float32Tensor("input", []int{1, 3, 64, 64}, values))
	write("x-zero", weights.Float32Tensor("input", []int{0, 3, 32, 32}, nil), labels)
	write("x-type", weights.Int32Tensor("input", []int{4, 3, 32, 32}, make([]int32, len(values))))
	write("x-other", labels)
	values[3*32*32+5] = float32nan()
	write("x-nan", weights.Float32Tensor("input", []int{4, 3, 32, 32}, values), labels)
	x := f.read("x.safetensors")
	f.file("x-truncated.safetensors", x[:len(x)-7])
}

func float32nan() float32 { return float32(math.NaN()) }

// images writes a colour and a grey picture, one that EXIF turns upright beside what it then looks like, and files that
// are none.
func (f fixtures) images() {
	colour, grey := image.NewRGBA(image.Rect(0, 0, 50, 40)), image.NewGray(image.Rect(0, 0, 28, 28))
	for y := range 40 {
		for x := range 50 {
			colour.Set(x, y, color.RGBA{uint8(5 * x), uint8(6 * y), uint8(x * y), 255})
			grey.SetGray(x, y, color.Gray{uint8(x * y)})
		}
	}
	encode := func(img image.Image) []byte {
		var b bytes.Buffer
		f.check(png.Encode(&b, img))
		return b.Bytes()
	}
	f.file("colour.png", encode(colour))
	f.file("grey.png", encode(grey))
	upright := image.NewRGBA(image.Rect(0, 0, 40, 50))
	for y := range 50 {
		for x := range 40 {
			upright.Set(x, y, colour.At(y, 39-x)) // by 90° clockwise
		}
	}
	f.file("upright.png", encode(upright))
	turned := encode(colour)
	// orientation 6
	exif := []byte("\x00\x00\x00\x1aeXIfMM\x00*\x00\x00\x00\x08\x00\x01" +
		"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00")
	exif = binary.BigEndian.AppendUint32(exif, crc32.ChecksumIEEE(exif[4:]))
	f.file("turned.png", slices.Concat(turned[:33], exif, turned[33:])) // behind IHDR
	f.file("cut.png", encode(colour)[:100])
	f.file("empty.png", nil)
	f.file("text.png", []byte("no picture at all"))
}

// data writes data sets of 28×28 pictures: idx (48 to train on, 10 to choose by, 20 to test), and bad ones: idx-cut,
// idx-zero (no images), idx-mixed (more labels than images), classes (folders of files, three classes), nothing.
func (f fixtures) data() {
	idx := func(dims []int, content []byte) []byte {
		b := []byte{0, 0, 8, byte(len(dims))}
		for _, d := range dims {
			b = binary.BigEndian.AppendUint32(b, uint32(d))
		}
		return append(b, content...)
	}
	set := func(name string, images, labels int) {
		for part, n := range map[string][2]int{"train": {images, labels}, "t10k": {min(images, 20), min(labels, 20)}} {
			pixels, classes := make([]byte, n[0]*784), make([]byte, n[1])
			for i := range classes {
				classes[i] = byte(i % 10)
			}
			for i := range pixels {
				if label := i / 784 % 10; i%784/28/3 == label { // a bar whose height tells the class
					pixels[i] = 200
				}
			}
			f.file(name+"/"+part+"-images-idx3-ubyte", idx([]int{n[0], 28, 28}, pixels))
			f.file(name+"/"+part+"-labels-idx1-ubyte", idx([]int{n[1]}, classes))
		}
	}
	set("idx", 58, 58)
	set("idx-zero", 0, 0)
	set("idx-mixed", 10, 12)
	set("idx-cut", 48, 48)
	for _, part := range []string{"train", "t10k"} {
		name := "idx-cut/" + part + "-images-idx3-ubyte"
		b := f.read(name)
		f.file(name, b[:len(b)-1])
	}
	for _, class := range []string{"a", "b", "c"} {
		f.file("classes/"+class+"/1.png", f.read("grey.png"))
	}
	f.check(os.Mkdir(filepath.Join(f.dir, "nothing"), 0o777))
}

// recipe writes recipe.json, three quick epochs from tiny.
func (f fixtures) recipe() {
	f.file("recipe.json", []byte(`{"init": `+strconv.Quote(filepath.Join(f.dir, "tiny"))+`,
		"epochs": 3, "batch": 16, "seed": 7, "lr": 3e-3, "ema": 0.5,
		"augment": {"shift": 1, "flip": false, "erase_prob": 0, "erase_max": 0.3}}`))
}
