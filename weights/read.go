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
	f, err := decodeSafetensors(r, size)
	if err != nil {
		return nil, fmt.Errorf("weights: %s: %w", name, err)
	}
	return f, nil
}

func decodeSafetensors(r io.Reader, size int64) (*File, error) {
	var prefix [8]byte
	if size < int64(len(prefix)) {
		return nil, fmt.Errorf("%d bytes is too short for a safetensors file", size)
	}
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return nil, fmt.Errorf("reading the header's length: %w", err)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader {
		return nil, fmt.Errorf("header length %d is beyond the limit of %d: not a safetensors file?", length, maxHeader)
	}
	if int64(length) > size-8 {
		return nil, fmt.Errorf("header length %d is beyond the file's end (%d bytes): truncated?", length, size)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	metadata, entries, err := parseHeader(text, size-8-int64(length))
	if err != nil {
		return nil, err
	}
	data := make([]byte, size-8-int64(length))
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("reading the data: %w", err)
	}
	f := &File{Metadata: metadata, Tensors: make([]Tensor, len(entries))}
	for i, e := range entries {
		f.Tensors[i] = Tensor{e.name, e.dtype, e.shape, data[e.begin:e.end:e.end]}
	}
	f.reindex()
	return f, nil
}
