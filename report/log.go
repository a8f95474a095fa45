package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
)

// Log is a training log of JSON lines: one object a line, of which the numbers are
// kept. An object inside an object gives names with a dot, such as valid.top1.
type Log struct {
	Records []map[string]float64
	// CutShort says that the last line ended in the middle and was left out, as
	// happens when a run is stopped while it writes.
	CutShort bool
}

// maxLine bounds one line of a log.
const maxLine = 1 << 20

// ReadLog reads a log. Null and the strings "NaN", "Inf" and the like, which
// writers use because JSON has no such numbers, become NaN and infinities. Empty lines
// are skipped; a line that is no JSON object is an error that names it, unless it
// is the last one and has no line end.
func ReadLog(r io.Reader) (*Log, error) {
	log := &Log{}
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		text, err := readLine(in)
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("report: log, line %d: %w", n, err)
		}
		if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 {
			var object map[string]any
			if e := json.Unmarshal(trimmed, &object); e != nil || object == nil {
				if err == io.EOF {
					log.CutShort = true
					return log, nil
				}
				if e == nil {
					e = errors.New("not an object")
				}
				return nil, fmt.Errorf("report: log, line %d: %w", n, e)
			}
			record := map[string]float64{}
			numbers(record, "", object)
			log.Records = append(log.Records, record)
		}
		if err == io.EOF {
			return log, nil
		}
	}
}

// readLine returns the next line with its end, and io.EOF with the last.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("longer than %d bytes", maxLine)
		}
		if err != bufio.ErrBufferFull {
			return line, err
		}
	}
}

// numbers adds the numbers of object to record, under prefix.
func numbers(record map[string]float64, prefix string, object map[string]any) {
	for name, value := range object {
		switch v := value.(type) {
		case float64:
			record[prefix+name] = v
		case nil:
			record[prefix+name] = math.NaN()
		case string:
			// Of strings only the values that JSON cannot write otherwise.
			if f, err := strconv.ParseFloat(v, 64); err == nil && !finite(f) {
				record[prefix+name] = f
			}
		case map[string]any:
			numbers(record, prefix+name+".", v)
		}
	}
}

// Keys returns the names that occur, sorted.
func (l *Log) Keys() []string {
	seen := map[string]bool{}
	for _, r := range l.Records {
		for k := range r {
			seen[k] = true
		}
	}
	keys := make([]string, 0, len(seen))
	for k := range seen {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// Series returns the values of y over those of x, from the records that have both.
func (l *Log) Series(name, x, y string) Series {
	s := Series{Name: name, X: []float64{}, Y: []float64{}}
	for _, r := range l.Records {
		vx, okX := r[x]
		vy, okY := r[y]
		if okX && okY {
			s.X, s.Y = append(s.X, vx), append(s.Y, vy)
		}
	}
	return s
}
