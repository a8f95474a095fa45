package weights

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/adavit/adavit/internal/regular"
)

// maxHeader bounds the header's length, as the format's own library does.
const maxHeader = 100_000_000

// ReadSafetensors reads a whole file. The tensors share one block of memory. The header is checked against the file's
// size before anything of that size is allocated.
func ReadSafetensors(path string) (*File, error) {
	f, size, err := regular.Open(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	defer f.Close()
	return ReadSafetensorsFrom(path, f, size)
}

// ReadSafetensorsFrom reads a file of size bytes from r; name stands for it in errors. It reads the header first and
// only goes on to the data if they are what the header promises.
func ReadSafetensorsFrom(name string, r io.Reader, size int64) (*File, error) {
	var prefix [8]byte
	if size < int64(len(prefix)) {
		return nil, fmt.Errorf("weights: %s: %d bytes is too short for a safetensors file", name, size)
	}
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, fmt.Errorf("weights: %s: reading the header's length: %w", name, err)
	}
	length, err := headerLength(prefix[:], size)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", name, err)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("weights: %s: reading the header: %w", name, err)
	}
	h, err := parseHeader(text, size-8-int64(length))
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", name, err)
	}
	data := make([]byte, size-8-int64(length))
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("weights: %s: reading the data: %w", name, err)
	}
	return h.file(data), nil
}

// DecodeSafetensors reads a file that is in memory; name stands for it in errors. The tensors' Data are parts of b.
func DecodeSafetensors(name string, b []byte) (*File, error) {
	length, err := headerLength(b, int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", name, err)
	}
	data := b[8+length:]
	h, err := parseHeader(b[8:8+length], int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", name, err)
	}
	return h.file(data), nil
}

// headerLength reads the first 8 bytes of a file of size bytes.
func headerLength(b []byte, size int64) (int, error) {
	if len(b) < 8 {
		return 0, fmt.Errorf("%d bytes is too short for a safetensors file", size)
	}
	n := binary.LittleEndian.Uint64(b)
	if n > maxHeader {
		return 0, fmt.Errorf("header length %d is beyond the limit of %d: not a safetensors file?", n, maxHeader)
	}
	if int64(n) > size-8 {
		return 0, fmt.Errorf("header length %d is beyond the file's end (%d bytes): truncated?", n, size)
	}
	return int(n), nil
}

// file cuts data, whose length parseHeader has checked, into the tensors.
func (h *header) file(data []byte) *File {
	f := &File{Metadata: h.metadata, Tensors: make([]Tensor, len(h.entries)), index: make(map[string]int, len(h.entries))}
	for i, e := range h.entries {
		f.Tensors[i] = Tensor{e.name, e.dtype, e.shape, data[e.begin:e.end:e.end]}
		f.index[e.name] = i
	}
	return f
}
