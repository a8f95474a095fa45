package picture

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// unXZ decompresses the first block of an xz file, which is to give n bytes: LZMA2 data whose bytes may be kept as
// differences from some bytes before, as libtiff writes them. Package xz, around lzma, does not know these.
func unXZ(b []byte, n int) (io.Reader, error) {
	if len(b) < 14 || !hasPrefix(b, "\xfd7zXZ\x00") {
		return nil, errors.New("a block is no xz file")
	}
	const begin = 12 // of the block's header, whose size in words less one comes first
	end := begin + 4*(int(b[begin])+1)
	if end > len(b) || b[begin] == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	head, flags := b[begin+2:end-4], b[begin+1]
	next := func() int { // numbers, seven bits a byte
		for v, shift := 0, 0; len(head) > 0 && shift < 63; shift += 7 {
			c := head[0]
			head, v = head[1:], v|int(c&127)<<shift
			if c < 128 {
				return v
			}
		}
		return -1
	}
	for _, sized := range []byte{0x40, 0x80} { // the block's sizes, before and after
		if flags&sized != 0 {
			next()
		}
	}
	back := 0
	for range flags&3 + 1 {
		switch id, size := next(), next(); {
		case id == 3 && size == 1 && len(head) > 1 && back == 0: // differences
			back, head = int(head[0])+1, head[1:]
		case id == 0x21 && size == 1 && len(head) > 0: // LZMA2, the last; n bytes of its dictionary are used at most
			dictionary := (2 | uint64(head[0]&1)) << (head[0]/2 + 11)
			n = max(int(min(uint64(n), dictionary)), lzma.MinDictCap)
			z, err := lzma.Reader2Config{DictCap: n}.NewReader2(bytes.NewReader(b[end:]))
			if err != nil || back == 0 {
				return z, err
			}
			return &sums{r: z, last: make([]byte, back)}, nil
		default:
			return nil, fmt.Errorf("xz filter %#x is not supported", id)
		}
	}
	return nil, errors.New("a block is no xz file")
}

// sums adds up bytes that are kept as differences from the one len(last) before.
type sums struct {
	r    io.Reader
	last []byte
	at   int
}

func (s *sums) Read(p []byte) (n int, err error) {
	n, err = s.r.Read(p)
	for i := range p[:n] {
		s.last[s.at] += p[i]
		p[i] = s.last[s.at]
		s.at = (s.at + 1) % len(s.last)
	}
	return n, err
}
