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
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader {
		return nil, fmt.Errorf("weights: %s: header length %d is beyond the limit of %d: not a safetensors file?",
			name, length, maxHeader)
	}
	if int64(length) > size-8 {
		return nil, fmt.Errorf("weights: %s: header length %d is beyond the file's end (%d bytes): truncated?",
			name, length, size)
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

// file cuts data, whose length parseHeader has checked, into the tensors.
func (h *header) file(data []byte) *File {
	f := &File{Metadata: h.metadata, Tensors: make([]Tensor, len(h.entries)),
		index: make(map[string]int, len(h.entries))}
	for i, e := range h.entries {
		f.Tensors[i] = Tensor{e.name, e.dtype, e.shape, data[e.begin:e.end:e.end]}
		f.index[e.name] = i
	}
	return f
}
