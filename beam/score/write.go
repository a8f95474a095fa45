package score

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/adavit/adavit/internal/results"
	"github.com/adavit/adavit/internal/strictjson"
)

func init() {
	register.DoFn4x1[context.Context, int, func(*[]byte) bool, func(int, []byte), error](&writeFn{})
	register.DoFn3x1[context.Context, int, func(*[]byte) bool, error](&summaryFn{})
}

// writeFn writes the rows of a shard, or the dead letters, as a file.
type writeFn struct {
	Output     string
	Format     string // of results; "": these are dead letters
	Shards     int
	Embeddings bool
}

// Written is a file of results, or of dead letters.
type Written struct {
	File string `json:"file"`
	Rows int    `json:"rows"`
}

// ProcessElement holds all rows of the shard: as many shards as keep them small are the user's choice. The order that
// they come in is the runner's; that of the file is by name, so that the same file comes of them every time.
func (f *writeFn) ProcessElement(ctx context.Context, shard int, lines func(*[]byte) bool,
	emit func(int, []byte)) error {
	var rows [][]byte
	for line := []byte(nil); lines(&line); line = nil {
		rows = append(rows, bytes.Clone(line))
	}
	slices.SortFunc(rows, bytes.Compare)
	w, format := Written{deadFile, len(rows)}, "jsonl"
	if f.Format != "" {
		w.File, format = shardFile(shard, f.Shards, f.Format), f.Format
	}
	content, err := table(rows, format, f.Embeddings)
	if err != nil {
		return fmt.Errorf("%s: %w", w.File, err)
	}
	if err := publish(ctx, join(f.Output, w.File), content); err != nil {
		return err
	}
	b, err := json.Marshal(w)
	emit(0, b)
	return err
}

// table is a file of rows.
func table(rows [][]byte, format string, embeddings bool) ([]byte, error) {
	begin, ok := results.FormatOf("." + format)
	if !ok {
		return nil, fmt.Errorf("no format is called %q", format)
	}
	var b bytes.Buffer
	t := begin(&b, embeddings)
	for _, line := range rows {
		var r results.Row
		if err := strictjson.Unmarshal(line, &r); err != nil {
			return nil, err
		}
		if err := t.Write(slices.Clip(line), r); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Summary is SummaryFile: what a finished job has written. It counts rows, and so every picture once, whatever was
// repeated.
type Summary struct {
	Model  string    `json:"model"`
	Images int       `json:"images"` // with a result
	Dead   int       `json:"dead"`   // without one: deadFile says why
	Files  []Written `json:"files"`
}

// summaryFn writes it when all files are there.
type summaryFn struct {
	Output   string
	Settings Settings
}

func (f *summaryFn) ProcessElement(ctx context.Context, _ int, files func(*[]byte) bool) error {
	s := Summary{Model: f.Settings.Model}
	for b := []byte(nil); files(&b); b = nil {
		var w Written
		if err := strictjson.Unmarshal(b, &w); err != nil {
			return err
		}
		if s.Files = append(s.Files, w); w.File == deadFile {
			s.Dead = w.Rows
		} else {
			s.Images += w.Rows
		}
	}
	slices.SortFunc(s.Files, func(a, b Written) int { return strings.Compare(a.File, b.File) })
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return publish(ctx, join(f.Output, SummaryFile), append(b, '\n'))
}

// ReadSummary reads that of a finished job.
func ReadSummary(ctx context.Context, output string) (s Summary, err error) {
	b, err := readAll(ctx, join(output, SummaryFile), 1<<30)
	if err != nil {
		return s, err
	}
	return s, strictjson.Unmarshal(b, &s)
}
