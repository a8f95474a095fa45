package regular

import (
	"bytes"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is the text of a file as UTF-8 without a byte order mark. Windows' programs mark UTF-8 by one, and save "Unicode
// text" as UTF-16 with one; all else that is not UTF-8 is an error that says what to do.
func Text(b []byte) ([]byte, error) {
	order := map[string]int{"\xff\xfe": 1, "\xfe\xff": 0}
	if high, ok := order[string(b[:min(2, len(b))])]; ok && len(b)%2 == 0 {
		units := make([]uint16, len(b)/2-1)
		for i := range units {
			two := b[2*i+2:]
			units[i] = uint16(two[high])<<8 | uint16(two[1-high])
		}
		b = []byte(string(utf16.Decode(units)))
	}
	b = bytes.TrimPrefix(b, []byte("\uFEFF"))
	switch {
	case bytes.IndexByte(b, 0) >= 0:
		return nil, errors.New("not text in UTF-8: it has zero bytes")
	case !utf8.Valid(b):
		return nil, errors.New("not text in UTF-8: save it so, in a spreadsheet as \"CSV UTF-8\"")
	}
	return b, nil
}
