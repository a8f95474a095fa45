package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/adavit/adavit/internal/atomicfile"
)

// WriteSafetensors writes tensors to path: the whole file or, on an error, nothing (see atomicfile). Tensors are put in
// order of falling element size, then name, so that each is aligned and equal content gives equal files.
func WriteSafetensors(path string, metadata map[string]string, tensors []Tensor) error {
	return atomicfile.Replace(path, func(w io.Writer) error {
		if err := EncodeSafetensors(w, metadata, tensors); err != nil {
			return fmt.Errorf("weights: writing %s: %w", path, err)
		}
		return nil
	})
}

// EncodeSafetensors writes the file's bytes to w. Nothing is written if a tensor's shape, type or name is at fault.
func EncodeSafetensors(w io.Writer, metadata map[string]string, tensors []Tensor) error {
	sorted := slices.Clone(tensors)
	slices.SortStableFunc(sorted, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(b.DType.Size(), a.DType.Size()), cmp.Compare(a.Name, b.Name))
	})
	head, err := encodeHeader(metadata, sorted)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, t := range sorted {
		b, err := t.Bytes()
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// encodeHeader makes the length and the header, padded so that the data start at a multiple of 8 bytes.
func encodeHeader(metadata map[string]string, tensors []Tensor) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteByte('{')
	if len(metadata) > 0 {
		for k, v := range metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, fmt.Errorf("metadata %s: not valid UTF-8", quoted(k))
			}
		}
		fmt.Fprintf(&b, "%q:", metadataKey)
		appendJSON(&b, metadata) // sorts the keys
	}
	begin := 0
	seen := make(map[string]bool, len(tensors))
	for _, t := range tensors {
		if !utf8.ValidString(t.Name) {
			return nil, fmt.Errorf("tensor %s: name is not valid UTF-8", quoted(t.Name))
		}
		if t.Name == metadataKey || seen[t.Name] {
			return nil, fmt.Errorf("tensor %s: name is taken", quoted(t.Name))
		}
		seen[t.Name] = true
		if err := t.check(); err != nil {
			return nil, err
		}
		if len(t.Shape) > maxRank {
			return nil, fmt.Errorf("tensor %s: %d dimensions, at most %d are possible",
				quoted(t.Name), len(t.Shape), maxRank)
		}
		if b.Len() > 9 {
			b.WriteByte(',')
		}
		appendJSON(&b, t.Name)
		shape := strings.ReplaceAll(fmt.Sprint(t.Shape), " ", ",")
		fmt.Fprintf(&b, `:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, t.DType, shape, begin, begin+int(t.size()))
		begin += int(t.size())
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, fmt.Errorf("header of %d bytes is beyond the format's limit of %d", b.Len()-8, maxHeader)
	}
	head := b.Bytes()
	binary.LittleEndian.PutUint64(head, uint64(len(head)-8))
	return head, nil
}

// appendJSON writes a string, or a map of strings, without the escapes for HTML and without the line's end that
// json.Encoder adds.
func appendJSON(b *bytes.Buffer, v any) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	e.Encode(v) // strings never fail
	b.Truncate(b.Len() - 1)
}
