package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/vit"
)

// variant is the architecture whose forward pass is counted.
const variant = "deit-tiny"

// run computes a dense forward pass of so many images, one after the other, with random weights.
func run(precision string, images int) error {
	c, err := vit.Variant(variant)
	if err != nil {
		return err
	}
	w, err := infer.Pack(vit.Initialize(c, 1, 0), infer.Precision(precision))
	if err != nil {
		return err
	}
	e, err := infer.New(w, infer.Options{Threads: 1})
	if err != nil {
		return err
	}
	defer e.Close()
	image := make([]float32, c.Channels*c.Height*c.Width)
	for i := range image {
		image[i] = float32(i%17)/8 - 1
	}
	var out infer.Output
	for range images {
		if err := e.Run(context.Background(), infer.Batch{Images: image}, &out); err != nil {
			return err
		}
	}
	return nil
}

//go:embed plugin/insn.c
var plugin []byte

// emulated is a processor under qemu, with the kernels that it runs.
type emulated struct{ arch, qemu, cpu, path string }

var all = []emulated{
	{"arm64", "qemu-aarch64", "cortex-a57", "neon"}, {"arm64", "qemu-aarch64", "neoverse-n1", "dotprod"},
	{"arm64", "qemu-aarch64", "max", "i8mm"}, {"amd64", "qemu-x86_64", "max", "avx2"},
}

// writeCounts writes the table of instructions.
func writeCounts(w io.Writer) error {
	dir, err := os.MkdirTemp("", "arm64")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	source, library := filepath.Join(dir, "insn.c"), filepath.Join(dir, "insn.so")
	if err := os.WriteFile(source, plugin, 0o666); err != nil {
		return err
	}
	if err := command("cc", "-shared", "-fPIC", "-O2", "-o", library, source); err != nil {
		return err
	}
	c, err := vit.Variant(variant)
	if err != nil {
		return err
	}
	macs := float64(c.MACs(nil))
	fmt.Fprintf(w, "\n*Measured*: instructions of a whole forward pass of %s (%.2f GMACs), one image, one thread, under "+
		"qemu: those of two images less those of one.\n\n", variant, macs/1e9)
	t := report.NewTable(3, "processor", "kernels", "precision", "instructions", "a multiply-add")
	for _, m := range all {
		program := filepath.Join(dir, m.arch)
		build := exec.Command("go", "build", "-o", program, "./arm64")
		build.Env = append(os.Environ(), "GOARCH="+m.arch, "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", build, err, out)
		}
		for _, precision := range []string{"f32", "bf16", "int8"} {
			var n [2]float64
			for i := range n {
				if n[i], err = m.count(library, program, precision, i+1); err != nil {
					return err
				}
			}
			t.Add(m.cpu+", "+m.arch, m.path, precision, fmt.Sprintf("%.0f million", (n[1]-n[0])/1e6),
				fmt.Sprintf("%.3f", (n[1]-n[0])/macs))
		}
	}
	fmt.Fprint(w, t.Markdown())
	return nil
}

// count returns the instructions that a program executes.
func (m emulated) count(library, program, precision string, images int) (float64, error) {
	cmd := exec.Command(m.qemu, "-cpu", m.cpu, "-plugin", library, program, "-forward", precision,
		"-images", fmt.Sprint(images))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "ADAVIT_KERNELS="+m.path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	found := executed.FindSubmatch(out)
	if found == nil {
		return 0, fmt.Errorf("%v says no count:\n%s", cmd, out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

var executed = regexp.MustCompile(`instructions: ([0-9]+)`)

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
