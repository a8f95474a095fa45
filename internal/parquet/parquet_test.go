package parquet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
)

// every has a column of each kind.
var every = []Column{
	{Name: "i32", Type: Int32}, {Name: "i64", Type: Int64, Optional: true}, {Name: "f32", Type: Float, Optional: true},
	{Name: "f64", Type: Double}, {Name: "s", Type: String}, {Name: "none", Type: String, Optional: true},
	{Name: "ints", Type: Int32, List: true}, {Name: "floats", Type: Float, List: true},
	{Name: "strings", Type: String, List: true},
}

// row is the i-th row of a table of them: with and without values, with lists of 0 to 2 elements.
func row(i int) []any {
	r := []any{int32(i), int64(-i) << 40, float32(i) / 4, math.Pi * float64(i), fmt.Sprintf("row %d", i), nil,
		[]int32{}, []float32{}, []string{}}
	if i%2 == 1 {
		r[1], r[2] = nil, nil
		r[6], r[7], r[8] = []int32{int32(i)}, []float32{0.5, float32(i)}, []string{"ä", "", "long"}[:i%3]
	}
	return r
}

// table is n rows in a file; each is padded, so that some thousand of them make more than one group.
func table(t *testing.T, n, padding int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, "adavit", every...)
	for i := range n {
		r := row(i)
		r[4] = r[4].(string) + strings.Repeat(".", padding)
		if err := w.Write(r...); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestReadBack reads files with a reader that goes by the format's description: every value comes back.
// $ADAVIT_PARQUET keeps the largest for testdata/check.py.
func TestReadBack(t *testing.T) {
	for _, c := range []struct{ rows, padding, groups int }{
		{0, 0, 0}, {1, 0, 1}, {2, 0, 1}, {100, 0, 1}, {5000, 4096, 3},
	} {
		b := table(t, c.rows, c.padding)
		if path := os.Getenv("ADAVIT_PARQUET"); path != "" {
			if err := os.WriteFile(path, b, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		rows, groups := read(t, b)
		if len(rows) != c.rows || groups != c.groups {
			t.Fatalf("%d rows in %d groups, want %d in %d", len(rows), groups, c.rows, c.groups)
		}
		for i, got := range rows {
			want := row(i)
			want[4] = want[4].(string) + strings.Repeat(".", c.padding)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("row %d of %d is %v, want %v", i, c.rows, got, want)
			}
		}
	}
}

// TestMisfits: values that do not fit their columns are errors, and what is written to may fail.
func TestMisfits(t *testing.T) {
	for _, c := range []struct {
		column Column
		row    []any
		want   string
	}{
		{Column{Name: "a", Type: Int32}, []any{int64(1)}, "column a: a value of type int64 does not fit it"},
		{Column{Name: "a", Type: Float}, []any{nil}, "column a: a value of type <nil> does not fit it"},
		{Column{Name: "a", Type: String, List: true}, []any{"x"}, "column a: a value of type string does not fit it"},
		{Column{Name: "a", Type: String, List: true}, []any{[]int32{1}}, "column a: a value of type []int32 does not fit"},
		{Column{Name: "a", Type: Int32}, []any{[]int32{1}}, "column a: a value of type []int32 does not fit it"},
		{Column{Name: "a", Type: Int32}, []any{uint(1)}, "column a: a value of type uint does not fit it"},
		{Column{Name: "a", Type: Int32}, []any{int32(1), int32(2)}, "a row of 2 values for 1 columns"},
	} {
		w := NewWriter(io.Discard, "", c.column)
		err := w.Write(c.row...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v gives %v, want %s", c.row, err, c.want)
		}
		if again := w.Close(); again != err {
			t.Errorf("after %v Close gives %v", err, again)
		}
	}
	full := errors.New("full")
	if err := NewWriter(failing{full}, "", every...).Write(row(0)...); err != full {
		t.Errorf("a full disk gives %v", err)
	}
	var b bytes.Buffer
	w := NewWriter(&b, "", Column{Name: "a", Type: String})
	if err := errors.Join(w.Write("caf\xe9"), w.Close()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b.Bytes(), []byte(magic)) {
		t.Error("no table was written")
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// read takes a table of the columns in every apart. It returns its rows and how many groups they were in.
func read(t *testing.T, b []byte) (rows [][]any, groups int) {
	t.Helper()
	n := len(b)
	if string(b[:4]) != magic || string(b[n-4:]) != magic {
		t.Fatal("no table")
	}
	footer := int(binary.LittleEndian.Uint32(b[n-8:]))
	meta := (&thrift{b[n-8-footer : n-8]}).structure()
	list, _ := meta[4].([]any)
	for _, g := range list {
		group := g.(map[int]any)
		first := len(rows)
		for range group[3].(int64) {
			rows = append(rows, make([]any, len(every)))
		}
		for i, k := range group[1].([]any) {
			m := k.(map[int]any)[3].(map[int]any)
			at := m[9].(int64)
			head := &thrift{b[at:]}
			page := head.structure()
			packed := int(page[3].(int64))
			z, err := gzip.NewReader(bytes.NewReader(head.b[:packed]))
			if err != nil {
				t.Fatal(err)
			}
			values, err := io.ReadAll(z)
			if err != nil || len(values) != int(page[2].(int64)) {
				t.Fatalf("a page of %d bytes, want %d: %v", len(values), page[2], err)
			}
			if whole := len(b[at:]) - len(head.b) + packed; m[7] != int64(whole) {
				t.Errorf("%s is said to have %d bytes and has %d", every[i].Name, m[7], whole)
			}
			decode(every[i], values, int(m[5].(int64)), rows[first:], i)
		}
	}
	if meta[3] != int64(len(rows)) {
		t.Errorf("the file says %d rows, its groups %d", meta[3], len(rows))
	}
	return rows, len(list)
}

// decode reads n values of a page into the rows' field i.
func decode(c Column, page []byte, n int, rows [][]any, i int) {
	repetitions, definitions := make([]byte, n), bytes.Repeat([]byte{1}, n)
	if c.List {
		page = unpack(page, repetitions)
	}
	if c.List || c.Optional {
		page = unpack(page, definitions)
	}
	at := -1
	for k := range n {
		if repetitions[k] == 0 {
			at++
			if c.List {
				rows[at][i] = map[Type]any{Int32: []int32{}, Float: []float32{}, String: []string{}}[c.Type]
			}
		}
		if definitions[k] == 0 {
			continue
		}
		var v any
		switch c.Type {
		case Int32:
			v, page = int32(binary.LittleEndian.Uint32(page)), page[4:]
		case Float:
			v, page = math.Float32frombits(binary.LittleEndian.Uint32(page)), page[4:]
		case Int64:
			v, page = int64(binary.LittleEndian.Uint64(page)), page[8:]
		case Double:
			v, page = math.Float64frombits(binary.LittleEndian.Uint64(page)), page[8:]
		case String:
			length := binary.LittleEndian.Uint32(page)
			v, page = string(page[4:4+length]), page[4+length:]
		}
		if c.List {
			v = reflect.Append(reflect.ValueOf(rows[at][i]), reflect.ValueOf(v)).Interface()
		}
		rows[at][i] = v
	}
}

// unpack reads levels, all of which are in runs, and returns what follows.
func unpack(page, levels []byte) []byte {
	n := binary.LittleEndian.Uint32(page)
	for b := page[4 : 4+n]; len(b) > 0; {
		run, size := binary.Uvarint(b)
		for range run >> 1 {
			levels[0], levels = b[size], levels[1:]
		}
		b = b[size+1:]
	}
	return page[4+n:]
}

// thrift reads the compact protocol.
type thrift struct{ b []byte }

func (p *thrift) varint() int64 {
	v, n := binary.Varint(p.b)
	p.b = p.b[n:]
	return v
}

func (p *thrift) structure() map[int]any {
	fields, id := map[int]any{}, 0
	for {
		head := p.b[0]
		if p.b = p.b[1:]; head == 0 {
			return fields
		}
		id += int(head >> 4)
		fields[id] = p.value(head & 15)
	}
}

func (p *thrift) value(kind byte) any {
	switch kind {
	case kindInt32, kindInt64:
		return p.varint()
	case kindBinary:
		n, size := binary.Uvarint(p.b)
		s := string(p.b[size : size+int(n)])
		p.b = p.b[size+int(n):]
		return s
	case kindStruct:
		return p.structure()
	case kindList:
		head := p.b[0]
		p.b = p.b[1:]
		n := uint64(head >> 4)
		if n == 15 {
			size := 0
			n, size = binary.Uvarint(p.b)
			p.b = p.b[size:]
		}
		list := []any{}
		for range n {
			list = append(list, p.value(head&15))
		}
		return list
	}
	panic(fmt.Sprintf("kind %d", kind))
}
