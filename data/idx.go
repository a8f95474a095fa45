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
	if head[0] != 0 || head[1] != 0 || idxTypes[head[2]] == "" {
		return IDX{}, fmt.Errorf("not an IDX file: it starts with % x", head)
	}
	if head[2] != 0x08 {
		return IDX{}, fmt.Errorf("an IDX file of %s, only uint8 is supported", idxTypes[head[2]])
	}
	if head[3] < 1 || head[3] > 4 {
		return IDX{}, fmt.Errorf("an IDX file of %d dimensions, want 1 to 4", head[3])
	}
	x := IDX{Dims: make([]int, head[3])}
	total := int64(1)
	for i := range x.Dims {
		var b [4]byte
		if _, err := io.ReadFull(br, b[:]); err != nil {
			return IDX{}, fmt.Errorf("IDX header: %w", regular.CutShort(err))
		}
		d := int64(binary.BigEndian.Uint32(b[:]))
		if d == 0 {
			return IDX{}, fmt.Errorf("IDX dimension %d is 0", i+1)
		}
		if d > limit/total {
			return IDX{}, fmt.Errorf("IDX header promises more than the %d bytes that are allowed", limit)
		}
		total *= d
		x.Dims[i] = int(d)
	}
	var err error
	if x.Data, err = readExactly(br, int(total)); err != nil {
		return IDX{}, fmt.Errorf("IDX data: %w", err)
	}
	return x, nil
}

// readExactly reads the n bytes that must follow, and no more may. The buffer grows with what comes, so a false header
// costs no more than the file. Reading past the end also makes gzip check its sum.
func readExactly(r io.Reader, n int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(n)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("after %d of %d bytes: %w", len(b), n, regular.CutShort(err))
	case len(b) < n:
		return nil, fmt.Errorf("%d bytes, the header promises %d: the file is cut short", len(b), n)
	case len(b) > n:
		return nil, fmt.Errorf("more than the %d bytes that the header promises", n)
	}
	return b, nil
}
