package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/infer"
	"github.com/adavit/adavit/vit"
)

// Arguments by which this program starts itself to measure memory in a fresh process.
const (
	memoryCommand         = "measure-memory"
	trainingMemoryCommand = "measure-training-memory"
)

// What training's memory is measured on.
const (
	trainingMemoryModel = "deit-small"
	trainingMemoryBatch = 32
)

// memoryUse is what a loaded model takes.
type memoryUse struct {
	Held    int64 `json:"held"`    // bytes of anonymous memory beyond those of the program before it loaded anything
	Peak    int64 `json:"peak"`    // bytes resident at most, the program and its files included
	Program int64 `json:"program"` // anonymous bytes before anything was loaded
}

// measureMemory loads a model with one worker in a fresh process and runs one image.
func measureMemory(dir, precision string) (memoryUse, error) {
	return askSelf(memoryCommand, dir, precision)
}

// measureTrainingMemory takes two training steps in a fresh process.
func measureTrainingMemory(precision string) (memoryUse, error) {
	return askSelf(trainingMemoryCommand, precision)
}

// askSelf starts this program with the given arguments.
func askSelf(args ...string) (memoryUse, error) {
	var use memoryUse
	self, err := os.Executable()
	if err != nil {
		return use, err
	}
	out, err := exec.Command(self, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return use, err
	}
	return use, json.Unmarshal(out, &use)
}

// reportMemory is that process.
func reportMemory(stdout io.Writer, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%s wants a model directory and a precision", memoryCommand)
	}
	debug.FreeOSMemory()
	before, err := status("RssAnon")
	if err != nil {
		return err
	}
	engine, err := loadEngine(args[0], args[1])
	if err != nil {
		return err
	}
	defer engine.Close()
	c := engine.Config()
	images := make([]float32, c.Channels*c.Height*c.Width)
	var out infer.Output
	if err := engine.Run(context.Background(), infer.Batch{Images: images}, &out); err != nil {
		return err
	}
	debug.FreeOSMemory()
	use := memoryUse{Program: before}
	after, err := status("RssAnon")
	if err != nil {
		return err
	}
	if use.Peak, err = status("VmHWM"); err != nil {
		return err
	}
	use.Held = after - before
	runtime.KeepAlive(images)
	return json.NewEncoder(stdout).Encode(use)
}

// reportTrainingMemory is the process that trains.
func reportTrainingMemory(stdout io.Writer, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s wants a precision", trainingMemoryCommand)
	}
	c, err := vit.Variant(trainingMemoryModel)
	if err != nil {
		return err
	}
	m := &model{params: vit.Initialize(c, 1, 0), images: drawImages(c, trainingMemoryBatch)}
	s, err := newTrainSide(job{m, 1, trainingMemoryBatch}, args[0], halting.Dense())
	if err != nil {
		return err
	}
	for range 2 {
		if _, err := s.step(); err != nil {
			return err
		}
	}
	var use memoryUse
	if use.Peak, err = status("VmHWM"); err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(use)
}

// loadEngine reads a model and packs its weights; the model itself is garbage afterwards.
func loadEngine(dir, precision string) (*infer.Engine, error) {
	m, err := adavit.Open(dir)
	if err != nil {
		return nil, err
	}
	w, err := infer.Pack(m.Params, infer.Precision(precision))
	if err != nil {
		return nil, err
	}
	return infer.New(w, infer.Options{})
}

// status reads one of Linux's figures of this process, in bytes.
func status(key string) (int64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errAbsent, err)
	}
	found := regexp.MustCompile(`(?m)^` + key + `:\s+(\d+) kB$`).FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("%w: /proc/self/status has no %s", errAbsent, key)
	}
	kb, err := strconv.ParseInt(string(found[1]), 10, 64)
	return kb << 10, err
}
