package weights

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	metadataKey = "__metadata__"
	maxRank     = 64 // dimensions of one tensor; what PyTorch can hold
)

// header is a safetensors header that has been checked against the length of the data behind it.
type header struct {
	metadata map[string]string
	entries  []entry // in the order of their bytes, which they cover without a hole
}

// entry is one tensor's description; begin and end count from the first byte behind the header.
type entry struct {
	name       string
	dtype      DType
	shape      []int
	begin, end int64
}

// parseHeader reads the header's JSON and checks that its tensors cover exactly dataLen bytes.
//
// It walks the tokens itself: encoding/json, asked to fill a struct, would let the last of two equal keys win, take
// "DTYPE" for "dtype", and mend broken UTF-8 in silence.
func parseHeader(text []byte, dataLen int64) (*header, error) {
	if len(text) == 0 || text[0] != '{' {
		return nil, errors.New("header does not start with '{': not a safetensors file?")
	}
	if !utf8.Valid(text) {
		return nil, errors.New("header is not valid UTF-8")
	}
	if err := checkEscapes(text); err != nil {
		return nil, err
	}
	text = bytes.TrimRight(text, " ")
	p := &parser{json.NewDecoder(bytes.NewReader(text))}
	p.dec.UseNumber()
	h := &header{}
	seen := make(map[string]bool)
	err := p.object(func(key string) error {
		if seen[key] {
			return fmt.Errorf("key %s appears twice", quoted(key))
		}
		seen[key] = true
		if key == metadataKey {
			var err error
			h.metadata, err = p.stringMap()
			if err != nil {
				return fmt.Errorf("%s: %w", metadataKey, err)
			}
			return nil
		}
		e, err := p.entry(key)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", quoted(key), err)
		}
		h.entries = append(h.entries, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if rest := int64(len(text)) - p.dec.InputOffset(); rest > 0 {
		return nil, fmt.Errorf("header: %d bytes after the JSON that are not spaces", rest)
	}
	if err := h.checkLayout(dataLen); err != nil {
		return nil, err
	}
	return h, nil
}

// checkLayout sorts the tensors by their place and refuses holes, overlaps and bytes that belong to none.
func (h *header) checkLayout(dataLen int64) error {
	slices.SortStableFunc(h.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	end := int64(0)
	for i, e := range h.entries {
		if e.end > dataLen {
			return fmt.Errorf("tensor %s: data offsets [%d, %d] are beyond the %d bytes of data: truncated?", quoted(e.name), e.begin, e.end, dataLen)
		}
		if e.begin > end {
			return fmt.Errorf("tensor %s: starts at byte %d, but the tensors before it end at %d: a hole", quoted(e.name), e.begin, end)
		}
		if e.begin < end {
			return fmt.Errorf("tensor %s: data offsets [%d, %d] overlap those of tensor %s", quoted(e.name), e.begin, e.end, quoted(h.entries[i-1].name))
		}
		end = e.end
	}
	if end != dataLen {
		return fmt.Errorf("%d bytes after the last tensor's end", dataLen-end)
	}
	return nil
}

// parser reads JSON token by token.
type parser struct{ dec *json.Decoder }

// next returns the next token; running out of tokens is an error of the text, not an end.
func (p *parser) next() (json.Token, error) {
	token, err := p.dec.Token()
	if err != nil {
		return nil, fmt.Errorf("invalid JSON at byte %d: %w", p.dec.InputOffset(), noEOF(err))
	}
	return token, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("unexpected end")
	}
	return err
}

// open takes the token that starts an object or array.
func (p *parser) open(delim json.Delim) error {
	token, err := p.next()
	if err != nil {
		return err
	}
	if token != delim {
		kind := "an object"
		if delim == '[' {
			kind = "an array"
		}
		return fmt.Errorf("%s where %s was expected", describe(token), kind)
	}
	return nil
}

// object reads an object; field is called behind each key and must read its value.
func (p *parser) object(field func(key string) error) error {
	if err := p.open('{'); err != nil {
		return err
	}
	for {
		token, err := p.next()
		if err != nil {
			return err
		}
		if token == json.Delim('}') {
			return nil
		}
		key, ok := token.(string)
		if !ok {
			return fmt.Errorf("%s where a key was expected", describe(token))
		}
		if err := field(key); err != nil {
			return err
		}
	}
}

func (p *parser) string() (string, error) {
	token, err := p.next()
	if err != nil {
		return "", err
	}
	s, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%s where a string was expected", describe(token))
	}
	return s, nil
}

// stringMap reads an object whose values are all strings.
func (p *parser) stringMap() (map[string]string, error) {
	m := make(map[string]string)
	err := p.object(func(key string) error {
		if _, ok := m[key]; ok {
			return fmt.Errorf("key %s appears twice", quoted(key))
		}
		value, err := p.string()
		if err != nil {
			return fmt.Errorf("key %s: %w", quoted(key), err)
		}
		m[key] = value
		return nil
	})
	return m, err
}

// counts reads an array of at most limit whole numbers ≥ 0.
func (p *parser) counts(limit int) ([]int64, error) {
	if err := p.open('['); err != nil {
		return nil, err
	}
	list := []int64{}
	for {
		token, err := p.next()
		if err != nil {
			return nil, err
		}
		if token == json.Delim(']') {
			return list, nil
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%s where a number was expected", describe(token))
		}
		v, err := strconv.ParseUint(number.String(), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("%.40s is not a whole number from 0 to %d", number, int64(math.MaxInt64))
		}
		if len(list) == limit {
			return nil, fmt.Errorf("more than %d numbers", limit)
		}
		list = append(list, int64(v))
	}
}

// entry reads a tensor's description and checks all that can be checked without its neighbours.
func (p *parser) entry(name string) (entry, error) {
	e := entry{name: name}
	seen := make(map[string]bool, 3)
	err := p.object(func(key string) error {
		if seen[key] {
			return fmt.Errorf("key %s appears twice", quoted(key))
		}
		seen[key] = true
		switch key {
		case "dtype":
			s, err := p.string()
			if err != nil {
				return fmt.Errorf("dtype: %w", err)
			}
			e.dtype = DType(s)
			if e.dtype.Size() == 0 {
				return fmt.Errorf("unknown dtype %s", quoted(s))
			}
		case "shape":
			list, err := p.counts(maxRank)
			if err != nil {
				return fmt.Errorf("shape: %w", err)
			}
			e.shape = make([]int, len(list))
			for i, d := range list {
				if d > math.MaxInt {
					return fmt.Errorf("shape: dimension %d is too large", d)
				}
				e.shape[i] = int(d)
			}
		case "data_offsets":
			list, err := p.counts(2)
			if err != nil {
				return fmt.Errorf("data_offsets: %w", err)
			}
			if len(list) != 2 {
				return fmt.Errorf("data_offsets: %d numbers, wanted 2", len(list))
			}
			e.begin, e.end = list[0], list[1]
			if e.begin > e.end {
				return fmt.Errorf("data_offsets: begin %d is behind end %d", e.begin, e.end)
			}
		default:
			return fmt.Errorf("unknown key %s", quoted(key))
		}
		return nil
	})
	if err != nil {
		return entry{}, err
	}
	for _, key := range [...]string{"dtype", "shape", "data_offsets"} {
		if !seen[key] {
			return entry{}, fmt.Errorf("key %q is missing", key)
		}
	}
	n, err := product(e.shape)
	if err != nil {
		return entry{}, err
	}
	if size := e.dtype.Size(); n > math.MaxInt/size || int64(n*size) != e.end-e.begin {
		return entry{}, fmt.Errorf("data offsets [%d, %d] hold %d bytes, but shape %v of %s needs %d×%d", e.begin, e.end, e.end-e.begin, e.shape, e.dtype, n, size)
	}
	return e, nil
}

// describe says what a token is, without repeating much of an untrusted text.
func describe(token json.Token) string {
	switch t := token.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return fmt.Sprintf("number %.40s", t)
	case string:
		return "string " + quoted(t)
	}
	return fmt.Sprintf("%q", fmt.Sprint(token))
}

// checkEscapes refuses \u escapes of half a surrogate pair, which encoding/json would replace by U+FFFD in silence.
// A backslash can stand only inside a string, so the text need not be parsed for it.
func checkEscapes(text []byte) error {
	// unit returns the code unit of an escape at i, or −1.
	unit := func(i int) int64 {
		if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
			return -1
		}
		v, err := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
		if err != nil {
			return -1
		}
		return int64(v)
	}
	for i := 0; i < len(text); {
		next := bytes.IndexByte(text[i:], '\\')
		if next < 0 {
			return nil
		}
		i += next
		switch u := unit(i); {
		case u >= 0xd800 && u < 0xdc00:
			if low := unit(i + 6); low < 0xdc00 || low > 0xdfff {
				return fmt.Errorf("header: lone surrogate \\u%04x in a string", u)
			}
			i += 12
		case u >= 0xdc00 && u <= 0xdfff:
			return fmt.Errorf("header: lone surrogate \\u%04x in a string", u)
		default:
			i += 2 // whatever it escapes, or a fault that the JSON reader will name
		}
	}
	return nil
}
