package data

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/adavit/adavit/internal/regular"
)

// IDX is the content of a file in the IDX format of the MNIST pages: unsigned bytes with a shape.
type IDX struct {
	Dims []int
	Data []byte // len = product of Dims, last dimension fastest
}

// maxIDX bounds the content of one file: 1 GiB.
const maxIDX = 1 << 30

// idxTypes are the format's element types; only the first one is read.
var idxTypes = map[byte]string{0x08: "uint8", 0x09: "int8", 0x0B: "int16",
	0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}

// ReadIDXFile reads the IDX file at path, a regular file, compressed by gzip or not.
func ReadIDXFile(path string) (IDX, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return IDX{}, err // names the path itself
	}
	defer f.Close()
	return ReadIDX(path, f)
}

// ReadIDX reads one IDX file; gzip is recognised by its first bytes. name stands for the file in errors.
//
// The format: two zero bytes, the element type (8: unsigned byte, the only one accepted), the number of dimensions (1
// to 4 accepted), each dimension as a big-endian 32-bit number, the elements. Memory grows with the bytes that are
// really there, never with what the header promises; fewer bytes than promised, or more, are an error, and so is a
// dimension of 0 or more than 1 GiB of them.
func ReadIDX(name string, r io.Reader) (IDX, error) {
	x, err := ReadIDXLimit(r, maxIDX)
	if err != nil {
		return IDX{}, fmt.Errorf("%s: %w", name, err)
	}
	return x, nil
}

// ReadIDXLimit is ReadIDX for a file whose elements take at most limit bytes, without a name in its errors.
func ReadIDXLimit(r io.Reader, limit int64) (IDX, error) {
	br := bufio.NewReader(r)
	if head, _ := br.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		zr, err := gzip.NewReader(br)
		if err != nil {
			return IDX{}, fmt.Errorf("gzip: %w", regular.CutShort(err))
		}
		br = bufio.NewReader(zr)
	}
	var head [4]byte
	if _, err := io.ReadFull(br, head[:]); err != nil {
		return IDX{}, fmt.Errorf("IDX header: %w", regular.CutShort(err))
	}
	switch kind := idxTypes[head[2]]; {
	case head[0] != 0 || head[1] != 0 || kind == "":
		return IDX{}, fmt.Errorf("not an IDX file: it starts with % x", head)
	case kind != "uint8":
		return IDX{}, fmt.Errorf("an IDX file of %s, only uint8 is supported", kind)
	case head[3] < 1 || head[3] > 4:
		return IDX{}, fmt.Errorf("an IDX file of %d dimensions, want 1 to 4", head[3])
	}
	dims := make([]uint32, head[3])
	if err := binary.Read(br, binary.BigEndian, dims); err != nil {
		return IDX{}, fmt.Errorf("IDX header: %w", regular.CutShort(err))
	}
	var x IDX
	total := int64(1)
	for i, d := range dims {
		if d == 0 {
			return IDX{}, fmt.Errorf("IDX dimension %d is 0", i+1)
		}
		if int64(d) > limit/total {
			return IDX{}, fmt.Errorf("IDX header promises more than the %d bytes that are allowed", limit)
		}
		total *= int64(d)
		x.Dims = append(x.Dims, int(d))
	}
	// The buffer grows with what comes, so a false header costs no more than the file. Reading past the end also makes
	// gzip check its sum.
	var err error
	x.Data, err = io.ReadAll(io.LimitReader(br, total+1))
	switch n := int64(len(x.Data)); {
	case err != nil:
		return IDX{}, fmt.Errorf("IDX data: after %d of %d bytes: %w", n, total, regular.CutShort(err))
	case n < total:
		return IDX{}, fmt.Errorf("IDX data: %d bytes, the header promises %d: the file is cut short", n, total)
	case n > total:
		return IDX{}, fmt.Errorf("IDX data: more than the %d bytes that the header promises", total)
	}
	return x, nil
}
