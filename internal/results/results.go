// Package results writes what became of very many pictures into tables: a row for each picture, in Parquet or in lines
// of JSON.
package results

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/atomicfile"
	"github.com/adavit/adavit/internal/filelock"
	"github.com/adavit/adavit/internal/strictjson"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
)

// Row is what became of one picture file, in JSON.
type Row struct {
	File string `json:"file"`
	*adavit.Result
	Milliseconds float64 `json:"milliseconds,omitempty"` // decoding, resizing, and its share of the pass that it was in
	Picture      string  `json:"picture,omitempty"`      // the file that shows its depths
	Error        string  `json:"error,omitempty"`        // why there is no result
}

// File is a table on its way into one file, which appears when all are done. Until then what is
// done is in a journal beside it, a line for each picture, so that a run which was killed goes on from there: no
// picture is lost or there twice.
type File struct {
	Resumed int    // pictures of this call that an earlier run has done
	Others  int    // pictures that an earlier run has done, and this call does not name
	Other   string // one of these
	Images  int    // in the file, once it is written
	Failed  int    // of them

	path       string
	format     Format
	embeddings bool   // are in the results
	run        string // what the results depend on
	journal    *os.File
	unlock     func()
	done       map[string]int // pictures in the journal, and how many times, by the names there
	named      map[string]int // those of this call
	empty      bool           // there is nothing in the journal
	synced     time.Time
}

// header is a journal's first line.
type header struct {
	Run string `json:"adavit_classify"` // File.run
}

const (
	journalEnding = ".partial"
	syncEvery     = 5 * time.Second // that is lost at most if the machine stops; if the program does, nothing is
)

// Open begins or resumes a file of results at path, whose ending says of what format. run describes the model
// and all that results depend on: what an earlier call with another one has begun is an error, and so is a file at
// path. Close must follow.
func Open(path, run string, embeddings bool) (r *File, err error) {
	format, ok := formats[filepath.Ext(path)]
	if !ok {
		return nil, usage.Errorf("results go into a .parquet or a .jsonl file, not into %s", path)
	}
	r = &File{path: path, format: format, embeddings: embeddings, run: run, named: map[string]int{}, synced: time.Now()}
	if err := r.absent(); err != nil { // before there is a journal
		return nil, err
	}
	if r.unlock, ok, err = filelock.Try(path + journalEnding); err != nil {
		return nil, fmt.Errorf("results: %w", err)
	} else if !ok {
		return nil, fmt.Errorf("%s is being written by another program", path)
	}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if err := r.absent(); err != nil {
		return nil, err
	}
	if r.journal, err = os.OpenFile(path+journalEnding, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	return r, r.resume()
}

// absent makes sure that nothing would be overwritten.
func (r *File) absent() error {
	if _, err := os.Lstat(r.path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already; remove it, or name another file for the results", r.path)
	}
	return nil
}

// resume reads the names in the journal and cuts off what is not whole.
func (r *File) resume() error {
	r.done = map[string]int{}
	whole := int64(0)
	err := r.rows(func(line []byte) error {
		var row struct {
			File string `json:"file"`
		}
		if err := strictjson.UnmarshalKnown(line, &row); err != nil {
			return io.EOF
		}
		r.done[row.File]++
		whole += int64(len(line))
		return nil
	}, &whole)
	if err != nil {
		return err
	}
	if err = r.journal.Truncate(whole); err == nil {
		_, err = r.journal.Seek(whole, io.SeekStart)
	}
	if err == nil && whole == 0 {
		err = r.line(header{r.run})
	}
	r.empty = err == nil && len(r.done) == 0
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// rows reads the whole lines of the journal behind the first, until f returns an error; io.EOF is none. first gets the
// first line's length, 0 if it is not whole.
func (r *File) rows(f func(line []byte) error, first *int64) error {
	if _, err := r.journal.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	b := bufio.NewReaderSize(r.journal, 1<<18)
	for begin := true; ; begin = false {
		line, err := b.ReadBytes('\n')
		if err == nil && begin {
			var h header
			if err := strictjson.Unmarshal(line, &h); err != nil || h.Run == "" {
				return fmt.Errorf("%s is where results are kept until all are done, and holds something else; move it away, "+
					"or name another file for the results", r.journal.Name())
			}
			if h.Run != r.run {
				return fmt.Errorf("%s has results of another model or of other options; go on with those, or remove it to "+
					"begin anew, or name another file for the results", r.journal.Name())
			}
			*first = int64(len(line))
			continue
		}
		if err == nil {
			err = f(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("results: %w", err)
		}
	}
}

// Choose returns the pictures that are not done yet, for adavit.FileOptions. A name that comes twice is done twice.
func (r *File) Choose(files []picture.File) (todo []picture.File) {
	left := maps.Clone(r.done)
	for _, f := range files {
		name := Name(f.Name)
		r.named[name]++
		if left[name] > 0 {
			left[name]--
			r.Resumed++
			continue
		}
		todo = append(todo, f)
	}
	for name, n := range left {
		if n > 0 && (r.Others == 0 || name < r.Other) {
			r.Other = name
		}
		r.Others += n
	}
	return todo
}

// Name is a file's name as it is written: bytes that are not UTF-8 as \xff, so that no two names become the same.
func Name(file string) string {
	if utf8.ValidString(file) {
		return file
	}
	var b strings.Builder
	for i, r := range file {
		if _, size := utf8.DecodeRuneInString(file[i:]); r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, file[i])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Add puts a picture's result into the journal.
func (r *File) Add(c Row) error {
	r.empty, c.File = false, Name(c.File)
	err := r.line(c)
	if err == nil && time.Since(r.synced) > syncEvery {
		err, r.synced = r.journal.Sync(), time.Now()
	}
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// line writes a line in one piece.
func (r *File) line(v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = r.journal.Write(append(b, '\n'))
	}
	return err
}

// Finish writes the file with all results that this call names, and removes the journal.
func (r *File) Finish() error {
	out, err := atomicfile.CreateAs(r.path, r.path+journalEnding+".tmp")
	if err != nil {
		return err
	}
	defer out.Discard()
	table := r.format(out, r.embeddings)
	var first int64
	err = r.rows(func(line []byte) error {
		var c Row
		if err := strictjson.Unmarshal(line, &c); err != nil {
			return err
		}
		if r.named[c.File] == 0 { // an earlier call has named it
			return nil
		}
		r.named[c.File]--
		r.Images++
		if c.Error != "" {
			r.Failed++
		}
		return table.Write(bytes.TrimSuffix(line, []byte("\n")), c)
	}, &first)
	if err == nil {
		err = table.Close()
	}
	if err == nil {
		err = out.Commit()
	}
	if err == nil {
		err = os.Remove(r.journal.Name())
	}
	return err
}

// Close lets go of the journal, which stays if it has results that are in no file yet.
func (r *File) Close() {
	if r.journal != nil {
		if r.empty {
			os.Remove(r.journal.Name())
		}
		r.journal.Close()
	}
	r.unlock()
}
