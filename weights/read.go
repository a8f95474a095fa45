package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/internal/strictjson"
)

const (
	metadataKey = "__metadata__"
	maxHeader   = 100_000_000 // bytes; the bound of the format's own library
	maxRank     = 64          // dimensions of one tensor; what PyTorch can hold
)

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
	metadata, entries, begin, err := decodeHeader(r, size)
	if err != nil {
		return nil, err
	}
	data := make([]byte, size-begin)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("reading the data: %w", err)
	}
	f := &File{Metadata: metadata, Tensors: make([]Tensor, len(entries))}
	for i, e := range entries {
		f.Tensors[i] = Tensor{Name: e.name, DType: e.dtype, Shape: e.shape, Data: data[e.begin:e.end:e.end]}
	}
	f.reindex()
	return f, nil
}

// decodeHeader reads what comes before the tensors' bytes, which begin at byte begin.
func decodeHeader(r io.Reader, size int64) (metadata map[string]string, entries []entry, begin int64, err error) {
	fail := func(err error) (map[string]string, []entry, int64, error) { return nil, nil, 0, err }
	start := make([]byte, min(size, 16))
	if _, err := io.ReadFull(r, start); err != nil {
		return fail(fmt.Errorf("reading the header's length: %w", err))
	}
	if len(start) < 9 || start[8] != '{' { // as every header begins
		if err := mistaken(start); err != nil {
			return fail(err)
		}
		if strings.HasPrefix(string(start), zipLocal) {
			return fail(errors.New("a zip archive, as PyTorch's checkpoints are, not safetensors: is its name wrong?"))
		}
	}
	r = io.MultiReader(bytes.NewReader(start), r)
	var prefix [8]byte
	if size < int64(len(prefix)) {
		return fail(fmt.Errorf("%d bytes is too short for a safetensors file", size))
	}
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return fail(fmt.Errorf("reading the header's length: %w", err))
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader {
		return fail(fmt.Errorf("header length %d is beyond the limit of %d: not a safetensors file?", length, maxHeader))
	}
	if int64(length) > size-8 {
		return fail(fmt.Errorf("header length %d is beyond the file's end (%d bytes): truncated?", length, size))
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return fail(fmt.Errorf("reading the header: %w", err))
	}
	begin = 8 + int64(length)
	metadata, entries, err = parseHeader(text, size-begin)
	return metadata, entries, begin, err
}

// entry is one tensor's description; begin and end count from the first byte behind the header.
type entry struct {
	name       string
	dtype      DType
	shape      []int
	begin, end int64
}

// headerJSON is the header's text.
type headerJSON struct {
	Metadata map[string]string    `json:"__metadata__"`
	Tensors  map[string]entryJSON `json:",embed"`
}

// entryJSON is a tensor's description in the header; what is missing there is nil.
type entryJSON struct {
	DType   *DType     `json:"dtype"`
	Shape   []uint64   `json:"shape"`
	Offsets *[2]uint64 `json:"data_offsets"`
}

// parseHeader reads the header's JSON and checks that its tensors cover exactly dataLen bytes. The entries are in the
// order of their bytes.
func parseHeader(text []byte, dataLen int64) (metadata map[string]string, entries []entry, err error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, nil, errors.New("header does not start with '{': not a safetensors file?")
	}
	var j headerJSON
	if err := strictjson.Unmarshal(text, &j, strictjson.NoNull); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if behind := bytes.TrimRight(text, " "); behind[len(behind)-1] != '}' {
		return nil, nil, errors.New("header: white space other than spaces after the JSON")
	}
	for _, name := range slices.Sorted(maps.Keys(j.Tensors)) { // of several faults always the same is told
		e, err := j.Tensors[name].entry(name)
		if err != nil {
			return nil, nil, fmt.Errorf("header: tensor %s: %w", quoted(name), err)
		}
		entries = append(entries, e)
	}
	return j.Metadata, entries, checkLayout(entries, dataLen)
}

// entry checks all that can be checked of a description without its neighbours.
func (j entryJSON) entry(name string) (entry, error) {
	switch {
	case j.DType == nil:
		return entry{}, errors.New(`key "dtype" is missing`)
	case j.Shape == nil:
		return entry{}, errors.New(`key "shape" is missing`)
	case j.Offsets == nil:
		return entry{}, errors.New(`key "data_offsets" is missing`)
	case j.DType.Size() == 0:
		return entry{}, fmt.Errorf("unknown dtype %s", quoted(string(*j.DType)))
	case len(j.Shape) > maxRank:
		return entry{}, fmt.Errorf("shape: %d dimensions, more than %d", len(j.Shape), maxRank)
	}
	begin, end := j.Offsets[0], j.Offsets[1]
	switch {
	case begin > end:
		return entry{}, fmt.Errorf("data_offsets: begin %d is behind end %d", begin, end)
	case end > math.MaxInt64:
		return entry{}, fmt.Errorf("data_offsets: %d is too large", end)
	}
	e := entry{name: name, dtype: *j.DType, shape: make([]int, len(j.Shape)), begin: int64(begin), end: int64(end)}
	for i, d := range j.Shape {
		if d > math.MaxInt {
			return entry{}, fmt.Errorf("shape: dimension %d is too large", d)
		}
		e.shape[i] = int(d)
	}
	n, err := product(e.shape)
	if err != nil {
		return entry{}, err
	}
	if size := e.dtype.Size(); n > math.MaxInt/size || int64(n*size) != e.end-e.begin {
		return entry{}, fmt.Errorf("data offsets [%d, %d] hold %d bytes, but shape %v of %s needs %d×%d",
			e.begin, e.end, e.end-e.begin, e.shape, e.dtype, n, size)
	}
	return e, nil
}

// checkLayout sorts the tensors by their place, empty ones at the same place by name, and refuses holes, overlaps and
// bytes that belong to none.
func checkLayout(entries []entry, dataLen int64) error {
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	end := int64(0)
	for i, e := range entries {
		switch {
		case e.end > dataLen:
			return fmt.Errorf("tensor %s: data offsets [%d, %d] are beyond the %d bytes of data: truncated?",
				quoted(e.name), e.begin, e.end, dataLen)
		case e.begin > end:
			return fmt.Errorf("tensor %s: starts at byte %d, but the tensors before it end at %d: a hole",
				quoted(e.name), e.begin, end)
		case e.begin < end:
			return fmt.Errorf("tensor %s: data offsets [%d, %d] overlap those of tensor %s",
				quoted(e.name), e.begin, e.end, quoted(entries[i-1].name))
		}
		end = e.end
	}
	if end != dataLen {
		return fmt.Errorf("%d bytes after the last tensor's end", dataLen-end)
	}
	return nil
}
