package tfevents

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// value is one value of an event file as readEvents finds it.
type value struct {
	step            int64
	tag, kind       string // kind: version, scalar, image, histogram
	number          float64
	text            string
	width, height   int64
	picture         []byte
	limits, buckets []float64
	stats           [5]float64 // of a histogram: min, max, num, sum, sum of squares
}

// readEvents is a reader of event files that shares nothing with the writer: lengths, checksums and protobuf
// fields are taken apart here as the formats' own descriptions have them. It returns the records before the
// first that is cut off, and fails the test at one that is wrong.
func readEvents(t *testing.T, path string) (out []value) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table := crc32.MakeTable(0x82f63b78) // Castagnoli, reversed
	sum := func(b []byte) uint32 {
		c := crc32.Checksum(b, table)
		return ((c >> 15) | (c << 17)) + 2726488792
	}
	for len(b) >= 12 {
		n := binary.LittleEndian.Uint64(b)
		if sum(b[:8]) != binary.LittleEndian.Uint32(b[8:]) {
			t.Fatalf("%s: checksum of a length", path)
		}
		if uint64(len(b)) < 16+n {
			return out
		}
		content := b[12 : 12+n]
		if sum(content) != binary.LittleEndian.Uint32(b[12+n:]) {
			t.Fatalf("%s: checksum of a record", path)
		}
		out = append(out, readValue(t, content))
		b = b[16+n:]
	}
	return out
}

// fields takes a protobuf message apart. Numbers are in v, bytes in b.
func fields(t *testing.T, m []byte, f func(number int, v uint64, b []byte)) {
	t.Helper()
	for len(m) > 0 {
		key, n := binary.Uvarint(m)
		if n <= 0 {
			t.Fatal("a key")
		}
		m = m[n:]
		switch key & 7 {
		case 0:
			v, n := binary.Uvarint(m)
			if n <= 0 {
				t.Fatal("a number")
			}
			f(int(key>>3), v, nil)
			m = m[n:]
		case 1:
			f(int(key>>3), binary.LittleEndian.Uint64(m), nil)
			m = m[8:]
		case 2:
			size, n := binary.Uvarint(m)
			if n <= 0 || size > uint64(len(m)-n) {
				t.Fatal("a length")
			}
			f(int(key>>3), 0, m[n:n+int(size)])
			m = m[n+int(size):]
		case 5:
			f(int(key>>3), uint64(binary.LittleEndian.Uint32(m)), nil)
			m = m[4:]
		default:
			t.Fatalf("wire type %d", key&7)
		}
	}
}

func readValue(t *testing.T, event []byte) (v value) {
	t.Helper()
	time := 0.0
	fields(t, event, func(number int, n uint64, b []byte) {
		switch number {
		case 1:
			time = math.Float64frombits(n)
		case 2:
			v.step = int64(n)
		case 3:
			v.kind, v.text = "version", string(b)
		case 5:
			fields(t, b, func(number int, _ uint64, b []byte) {
				if number == 1 {
					readSummary(t, b, &v)
				}
			})
		default:
			t.Fatalf("an event's field %d", number)
		}
	})
	if time < 1.6e9 || time > 1e10 {
		t.Fatalf("an event's time is %v", time)
	}
	return v
}

func readSummary(t *testing.T, b []byte, v *value) {
	t.Helper()
	fields(t, b, func(number int, n uint64, b []byte) {
		switch number {
		case 1:
			v.tag = string(b)
		case 2:
			v.kind, v.number = "scalar", float64(math.Float32frombits(uint32(n)))
		case 4:
			v.kind = "image"
			fields(t, b, func(number int, n uint64, b []byte) {
				switch number {
				case 1:
					v.height = int64(n)
				case 2:
					v.width = int64(n)
				case 4:
					v.picture = b
				}
			})
		case 5:
			v.kind = "histogram"
			doubles := func(b []byte) (out []float64) {
				for ; len(b) > 0; b = b[8:] {
					out = append(out, math.Float64frombits(binary.LittleEndian.Uint64(b)))
				}
				return out
			}
			fields(t, b, func(number int, n uint64, b []byte) {
				switch number {
				case 1, 2, 3, 4, 5:
					v.stats[number-1] = math.Float64frombits(n)
				case 6:
					v.limits = doubles(b)
				case 7:
					v.buckets = doubles(b)
				}
			})
		default:
			t.Fatalf("a value's field %d", number)
		}
	})
}

// readFolder reads all event files of a folder in the order of their names, and leaves out their versions.
func readFolder(t *testing.T, dir string) (out []value) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		found := readEvents(t, path)
		if len(found) == 0 || found[0].kind != "version" || found[0].text != "brain.Event:2" {
			t.Errorf("%s does not begin with its version: %+v", path, found)
			continue
		}
		out = append(out, found[1:]...)
	}
	return out
}
