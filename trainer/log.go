package trainer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/train"
)

// Line is what the lines of both logs tell of a step, or on average of an epoch's steps.
type Line struct {
	LR        float64 `json:"lr"`
	TrainTop1 float64 `json:"train_top1"` // percent, of augmented images with drop path
	train.Stats
	ImagesPerSecond float64 `json:"images_per_second"`
}

// Entry is one line of log.jsonl: an epoch's means.
type Entry struct {
	Epoch int `json:"epoch"`
	Step  int `json:"step"`
	Line
	Seconds       float64  `json:"seconds"`
	Validation    *Figures `json:"validation,omitempty"`     // of the weights as they are, on the validation images
	ValidationEMA *Figures `json:"validation_ema,omitempty"` // of their moving average
	Test          *Figures `json:"test,omitempty"`           // of the weights as they are, on the test images
	TestEMA       *Figures `json:"test_ema,omitempty"`
}

// StepEntry is one line of steps.jsonl: a step as it was, not a mean. Its images a second are those since the line
// before.
type StepEntry struct {
	Step  int `json:"step"` // from 1
	Epoch int `json:"epoch"`
	Line
}

// add counts a step into the sums of its epoch.
func (e *Entry) add(s StepEntry, took time.Duration) {
	e.Stats.Add(s.Stats, 1)
	e.TrainTop1 += s.TrainTop1
	e.Epoch, e.Step, e.LR = s.Epoch, s.Step, s.LR
	e.Seconds += took.Seconds()
}

// finish turns the sums of an epoch's steps into means.
func (e *Entry) finish(steps, batch int) {
	e.ImagesPerSecond = float64(steps*batch) / max(e.Seconds, 1e-9)
	for _, sum := range append(e.Means(), &e.TrainTop1) {
		*sum /= float64(steps)
	}
}

func logPath(dir string) string   { return filepath.Join(dir, "log.jsonl") }
func stepsPath(dir string) string { return filepath.Join(dir, "steps.jsonl") }

// ReadLog returns the entries of a run's log. A missing log is empty; lines that were not written whole, as a crash
// leaves them, are left out.
func ReadLog(dir string) ([]Entry, error) { return readLines[Entry](logPath(dir)) }

// maxLine bounds a line of a log in bytes; ours have a few hundred, and twenty for each block of the model. maxLog
// bounds a log.
const maxLine, maxLog = 1 << 20, 1 << 30

// readLines reads a file of one JSON object a line.
func readLines[T any](path string) (list []T, err error) {
	text, err := regular.Read(path, maxLog)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range bytes.Lines(text) {
		var entry T // a line without an end may be half of one
		if len(line) <= maxLine && line[len(line)-1] == '\n' && json.Unmarshal(line, &entry) == nil {
			list = append(list, entry)
		}
	}
	return list, err
}

// openLines opens a log to add lines to, and rids it of damaged ones and of those that keep does not want. It returns
// the others too.
func openLines[T any](path string, keep func(T) bool) (*os.File, []T, error) {
	list, err := readLines[T](path)
	if err != nil {
		return nil, nil, err
	}
	list = slices.DeleteFunc(list, func(entry T) bool { return !keep(entry) })
	var whole []byte
	for _, entry := range list {
		line, err := json.Marshal(entry)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
		whole = append(append(whole, line...), '\n')
	}
	if err := atomicfile.WriteFile(path, whole); err != nil {
		return nil, nil, err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	return f, list, err
}

// addLine writes one line, in one piece.
func addLine(f *os.File, entry any) error {
	line, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	_, err = f.Write(append(line, '\n'))
	return err // names the file
}
