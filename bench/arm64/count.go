package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/report"
	"github.com/adavit/adavit/train"
	"github.com/adavit/adavit/vit"
)

// variant is the architecture whose forward pass is counted.
const variant = "deit-tiny"

// work is what is counted: a dense forward pass of so many images, one after the other, or a training step on them,
// with random weights.
type work struct {
	precision string
	training  bool
}

func (w work) run(images int) error {
	c, err := vit.Variant(variant)
	if err != nil {
		return err
	}
	params := vit.Initialize(c, 1, 0)
	if w.training {
		return w.train(params, images)
	}
	return w.infer(params, images)
}

func (w work) train(params *vit.Params, images int) error {
	s, err := train.NewStepper(params, train.Settings{Precision: w.precision, Beta1: 0.9, Beta2: 0.999}, 1)
	if err != nil {
		return err
	}
	defer s.Close()
	batch := train.Batch{Size: images, Labels: make([]int32, images), Load: func(_ int, image []float32) error {
		draw(image)
		return nil
	}}
	_, err = s.Step(train.Update{LR: 1e-4, Batch: func(int) (train.Batch, error) { return batch, nil }})
	return err
}

// draw makes an image up.
func draw(image []float32) {
	for i := range image {
		image[i] = float32(i%17)/8 - 1
	}
}

func (w work) infer(params *vit.Params, images int) error {
	packed, err := infer.Pack(params, infer.Precision(w.precision))
	if err != nil {
		return err
	}
	c := params.Config
	e, err := infer.New(packed, infer.Options{Threads: 1})
	if err != nil {
		return err
	}
	defer e.Close()
	image := make([]float32, c.Channels*c.Height*c.Width)
	draw(image)
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
type emulated struct {
	arch, qemu, cpu, path string
	trainsBF16            bool // where that is faster than in f32
}

var all = []emulated{
	{"arm64", "qemu-aarch64", "cortex-a57", "neon", false}, {"arm64", "qemu-aarch64", "neoverse-n1", "dotprod", false},
	{"arm64", "qemu-aarch64", "max", "i8mm", true}, {"amd64", "qemu-x86_64", "max", "avx2", false},
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
	emulator, err := release(all[0].qemu)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n*Measured* on %s under %s: instructions of a whole forward pass of %s (%.2f GMACs), one image, one "+
		"thread,\nthose of two images less those of one; and so of a training step, forward and backward (three times "+
		"the multiply-adds).\n\n", time.Now().UTC().Format(time.DateOnly), emulator, variant, macs/1e9)
	t := report.NewTable(4, "processor", "kernels", "", "precision", "instructions", "a multiply-add")
	for _, m := range all {
		program := filepath.Join(dir, m.arch)
		build := exec.Command("go", "build", "-o", program, "./arm64")
		build.Env = append(os.Environ(), "GOARCH="+m.arch, "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", build, err, out)
		}
		for _, job := range []work{{"f32", false}, {"bf16", false}, {"int8", false}, {"f32", true}, {"bf16", true}} {
			what, products := "inference", macs
			if job.training {
				what, products = "training", 3*macs
			}
			if job == (work{"bf16", true}) && !m.trainsBF16 {
				continue
			}
			var n [2]float64
			var errs [2]error
			var both sync.WaitGroup
			for i := range n {
				both.Go(func() { n[i], errs[i] = m.count(library, program, job, i+1) })
			}
			both.Wait()
			if err := errors.Join(errs[:]...); err != nil {
				return err
			}
			t.Add(m.cpu+", "+m.arch, m.path, what, job.precision, fmt.Sprintf("%.0f million", (n[1]-n[0])/1e6),
				fmt.Sprintf("%.3f", (n[1]-n[0])/products))
		}
	}
	fmt.Fprint(w, t.Markdown())
	return nil
}

// count returns the instructions that a program executes.
func (m emulated) count(library, program string, w work, images int) (float64, error) {
	cmd := exec.Command(m.qemu, "-cpu", m.cpu, "-plugin", library, program, "-run", w.precision,
		fmt.Sprintf("-training=%v", w.training), "-images", fmt.Sprint(images))
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
