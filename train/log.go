package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/adavit/adavit/internal/atomicfile"
)

// Entry is one line of log.jsonl: an epoch's means.
type Entry struct {
	Epoch           int                `json:"epoch"`
	Step            int                `json:"step"`
	LR              float64            `json:"lr"`
	Loss            float64            `json:"loss"`
	CrossEntropy    float64            `json:"loss_ce"`
	Distill         float64            `json:"loss_distill,omitempty"`
	Ponder          float64            `json:"loss_ponder"`
	Prior           float64            `json:"loss_prior"`
	TrainTop1       float64            `json:"train_top1"` // percent, of augmented images with drop path
	MeanDepth       float64            `json:"mean_depth"`
	LayerScores     []float64          `json:"layer_scores,omitempty"`
	GradNorm        float64            `json:"grad_norm"`
	ImagesPerSecond float64            `json:"images_per_second"`
	Seconds         float64            `json:"seconds"`
	Test            map[string]float64 `json:"test,omitempty"`     // of the weights as they are
	TestEMA         map[string]float64 `json:"test_ema,omitempty"` // of their moving average
}

// StepEntry is one line of steps.jsonl: a step as it was, not a mean.
type StepEntry struct {
	Step            int       `json:"step"` // from 1
	Epoch           int       `json:"epoch"`
	LR              float64   `json:"lr"`
	Loss            float64   `json:"loss"`
	CrossEntropy    float64   `json:"loss_ce"`
	Distill         float64   `json:"loss_distill,omitempty"`
	Ponder          float64   `json:"loss_ponder"`
	Prior           float64   `json:"loss_prior"`
	TrainTop1       float64   `json:"train_top1"`
	MeanDepth       float64   `json:"mean_depth"`
	LayerScores     []float64 `json:"layer_scores,omitempty"`
	GradNorm        float64   `json:"grad_norm"`
	ImagesPerSecond float64   `json:"images_per_second"` // since the line before
}

// add counts a step into the sums of its epoch.
func (e *Entry) add(s StepEntry, took time.Duration) {
	e.LR = s.LR
	e.Loss += s.Loss
	e.CrossEntropy += s.CrossEntropy
	e.Distill += s.Distill
	e.Ponder += s.Ponder
	e.Prior += s.Prior
	e.TrainTop1 += s.TrainTop1
	e.MeanDepth += s.MeanDepth
	e.GradNorm += s.GradNorm
	if e.LayerScores == nil {
		e.LayerScores = make([]float64, len(s.LayerScores))
	}
	for l, v := range s.LayerScores {
		e.LayerScores[l] += v
	}
	e.Epoch, e.Step = s.Epoch, s.Step
	e.Seconds += took.Seconds()
}

// finish turns the sums of an epoch's steps into means.
func (e *Entry) finish(steps, batch int) {
	e.ImagesPerSecond = float64(steps*batch) / max(e.Seconds, 1e-9)
	for _, v := range []*float64{&e.Loss, &e.CrossEntropy, &e.Distill, &e.Ponder, &e.Prior, &e.TrainTop1, &e.MeanDepth, &e.GradNorm} {
		*v /= float64(steps)
	}
	for l := range e.LayerScores {
		e.LayerScores[l] /= float64(steps)
	}
}

func logPath(dir string) string   { return filepath.Join(dir, "log.jsonl") }
func stepsPath(dir string) string { return filepath.Join(dir, "steps.jsonl") }

// ReadLog returns the entries of a run's log. A missing log is empty; lines that were not written whole, as a crash leaves them, are left out.
func ReadLog(dir string) ([]Entry, error) { return readLines[Entry](logPath(dir)) }

// ReadSteps returns the entries of a run's steps.jsonl, as ReadLog does.
func ReadSteps(dir string) ([]StepEntry, error) { return readLines[StepEntry](stepsPath(dir)) }

// maxLine bounds a line of a log in bytes; ours have a few hundred, and twenty for each block of the model.
const maxLine = 1 << 20

// readLines reads a file of one JSON object a line.
func readLines[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []T
	r := bufio.NewReaderSize(f, maxLine)
	for long := false; ; { // whether a line has begun that is too long to be ours
		line, err := r.ReadSlice('\n')
		var entry T
		switch {
		case errors.Is(err, io.EOF): // a line without an end may be half of one
			return list, nil
		case errors.Is(err, bufio.ErrBufferFull):
			long = true
			continue
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		case !long && json.Unmarshal(line, &entry) == nil:
			list = append(list, entry)
		}
		long = false
	}
}

// writeLines puts a whole new file in the place of the old one.
func writeLines[T any](path string, list []T) error {
	var out bytes.Buffer
	for _, entry := range list {
		line, err := json.Marshal(entry)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		out.Write(append(line, '\n'))
	}
	return atomicfile.WriteFile(path, out.Bytes())
}

// trim rewrites a file of lines without those that keep does not want and without damaged ones, if there are any. A missing file stays so.
func trim[T any](path string, keep func(T) bool) error {
	list, err := readLines[T](path)
	if err != nil {
		return err
	}
	kept := make([]T, 0, len(list))
	for _, entry := range list {
		if keep(entry) {
			kept = append(kept, entry)
		}
	}
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return writeLines(path, kept)
}

// journal is a file of lines that grows.
type journal struct{ file *os.File }

// openJournal opens a file to add lines to. Its last line must be whole (see trim).
func openJournal(path string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	return &journal{f}, nil
}

// add writes one line, in one piece.
func (j *journal) add(entry any) error {
	line, err := json.Marshal(entry)
	if err != nil {
		return fmt.Errorf("%s: %w", j.file.Name(), err)
	}
	_, err = j.file.Write(append(line, '\n'))
	return err // names the file
}

// sync waits until all lines are on the disk.
func (j *journal) sync() error { return j.file.Sync() }

// close ends the file; what is to last was synced.
func (j *journal) close() {
	if j != nil {
		j.file.Close()
	}
}
