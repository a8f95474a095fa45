// Package parquet writes tables in Apache Parquet's format: columns of numbers and strings, and of lists of them, plain
// and compressed with gzip, which pyarrow, DuckDB and Spark read. It replaces a library of some megabytes.
//
// The format is https://parquet.apache.org/docs/file-format/ and, for its structs, parquet.thrift of that project.
package parquet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

// Type is what a column holds, by its number in the format.
type Type int

// The Go values of these columns are int32, int64, float32, float64 and string; of lists, slices of them.
const (
	Int32  Type = 1
	Int64  Type = 2
	Float  Type = 4
	Double Type = 5
	String Type = 6
)

// Column is one column of a table.
type Column struct {
	Name     string
	Type     Type
	Optional bool // a row may have nil instead of a value
	List     bool // a row has a list, which may be empty; not together with Optional
}

// Numbers of the format.
const (
	required, optional, repeated = 0, 1, 2 // repetition of a schema's element
	utf8Converted, listConverted = 0, 3    // what an element stands for, as old readers know it
	utf8Logical, listLogical     = 1, 3    // and new ones
	plain, rle                   = 0, 3    // encodings
	gzipped                      = 2       // codec
)

const magic = "PAR1"

// maxGroup is how many bytes of values a group of rows holds, and about what a Writer needs of memory.
const maxGroup = 8 << 20

// Writer writes a table row by row. Rows are kept until they make a group.
type Writer struct {
	out     io.Writer
	creator string
	columns []column
	offset  int64 // in the file
	rows    int64 // in groups that are written
	pending int   // rows that wait for their group
	groups  []group
	packed  bytes.Buffer
	zip     *gzip.Writer // to packed
	err     error
}

// column is a column and those of its values that wait.
type column struct {
	Column
	values      []byte // as the format has them
	repetitions levels
	definitions levels
}

// group is what a file's end says of a group of rows.
type group struct {
	rows   int64
	chunks []chunk
}

// chunk is one column's part of a group.
type chunk struct {
	values       int
	offset       int64
	plain, whole int64 // bytes with the page's head, before and after compression
}

// NewWriter begins a table. creator names the program that writes it.
func NewWriter(out io.Writer, creator string, columns ...Column) *Writer {
	w := &Writer{out: out, creator: creator}
	w.zip, _ = gzip.NewWriterLevel(&w.packed, gzip.BestSpeed) // fails on unknown levels alone
	for _, c := range columns {
		w.columns = append(w.columns, column{Column: c})
	}
	w.write([]byte(magic))
	return w
}

// Write adds a row, a value for each column. An error is of the values, or was met in writing; every later call returns
// it again.
func (w *Writer) Write(row ...any) error {
	if w.err == nil && len(row) != len(w.columns) {
		w.err = fmt.Errorf("a row of %d values for %d columns", len(row), len(w.columns))
	}
	waiting := 0
	for i := range w.columns {
		if w.err != nil {
			return w.err
		}
		c := &w.columns[i]
		if !c.add(row[i]) {
			w.err = fmt.Errorf("column %s: a value of type %T does not fit it", c.Name, row[i])
		}
		waiting += len(c.values)
	}
	if w.pending++; waiting >= maxGroup {
		w.flush()
	}
	return w.err
}

// add puts a value among those that wait. It reports whether it fits the column.
func (c *column) add(value any) bool {
	switch v := value.(type) {
	case nil:
		c.definitions.add(0)
		return c.Optional
	case []int32:
		return addList(c, v, c.int32)
	case []float32:
		return addList(c, v, c.float)
	case []string:
		return addList(c, v, c.text)
	}
	if c.definitions.add(1); c.List {
		return false
	}
	switch v := value.(type) {
	case int32:
		return c.int32(v)
	case int64:
		c.values = binary.LittleEndian.AppendUint64(c.values, uint64(v))
		return c.Type == Int64
	case float32:
		return c.float(v)
	case float64:
		c.values = binary.LittleEndian.AppendUint64(c.values, math.Float64bits(v))
		return c.Type == Double
	case string:
		return c.text(v)
	}
	return false
}

func (c *column) int32(v int32) bool {
	c.values = binary.LittleEndian.AppendUint32(c.values, uint32(v))
	return c.Type == Int32
}

func (c *column) float(v float32) bool {
	c.values = binary.LittleEndian.AppendUint32(c.values, math.Float32bits(v))
	return c.Type == Float
}

// text adds a string. The format wants UTF-8, which names of files need not be.
func (c *column) text(s string) bool {
	if !utf8.ValidString(s) {
		s = string(bytes.ToValidUTF8([]byte(s), []byte("\ufffd")))
	}
	c.values = append(binary.LittleEndian.AppendUint32(c.values, uint32(len(s))), s...)
	return c.Type == String
}

// addList adds a row's list.
func addList[T any](c *column, list []T, add func(T) bool) bool {
	if len(list) == 0 { // one entry without a value says so
		c.repetitions.add(0)
		c.definitions.add(0)
	}
	fits := c.List
	for i, v := range list {
		c.repetitions.add(byte(min(i, 1))) // 0 where a row begins
		c.definitions.add(1)
		fits = add(v) && fits
	}
	return fits
}

// Close writes the rows that wait and the file's end. It does not close what is written to.
func (w *Writer) Close() error {
	w.flush()
	footer := w.footer()
	end := binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	w.write(append(end, magic...))
	return w.err
}

func (w *Writer) write(b []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(b)
		w.offset += int64(len(b))
	}
}

// flush writes the rows that wait as a group: each column's values in one page.
func (w *Writer) flush() {
	if w.err != nil || w.pending == 0 {
		return
	}
	g := group{rows: int64(w.pending)}
	for i := range w.columns {
		c := &w.columns[i]
		values := w.pending
		var page []byte
		if c.List {
			values = c.repetitions.n
			page = c.repetitions.appendTo(page)
		}
		if c.List || c.Optional {
			page = c.definitions.appendTo(page)
		}
		page = append(page, c.values...)
		w.packed.Reset()
		w.zip.Reset(&w.packed)
		w.zip.Write(page) // to memory
		w.zip.Close()
		head := pageHead(values, len(page), w.packed.Len())
		g.chunks = append(g.chunks, chunk{values, w.offset, int64(len(head) + len(page)), int64(len(head) + w.packed.Len())})
		w.write(head)
		w.write(w.packed.Bytes())
		c.values, c.repetitions, c.definitions = c.values[:0], levels{}, levels{}
	}
	w.groups, w.rows, w.pending = append(w.groups, g), w.rows+g.rows, 0
}

// levels is a list of zeros and ones in the format's run-length encoding.
type levels struct {
	encoded []byte
	n       int // in all
	last    byte
	run     uint64 // how often the last one came in a row
}

func (l *levels) add(level byte) {
	if level != l.last {
		l.close()
	}
	l.last = level
	l.run++
	l.n++
}

// close ends a run.
func (l *levels) close() {
	if l.run > 0 {
		l.encoded = append(binary.AppendUvarint(l.encoded, l.run<<1), l.last)
		l.run = 0
	}
}

// appendTo adds the levels to a page, their length first.
func (l *levels) appendTo(page []byte) []byte {
	l.close()
	return append(binary.LittleEndian.AppendUint32(page, uint32(len(l.encoded))), l.encoded...)
}
