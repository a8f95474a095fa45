package score

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/adavit/adavit/picture"
)

// FuzzTar: whatever an archive holds, its pictures have no more bytes together than it has itself, the names of
// pictures in this archive, and an end that is the archive's or says that it is damaged.
func FuzzTar(f *testing.F) {
	whole := packed(f, map[string][]byte{"a.png": []byte("one"), "b.jpg": bytes.Repeat([]byte{7}, 600), "c.txt": nil})
	f.Add(whole)
	f.Add(whole[:len(whole)-1500])
	f.Add(packed(f, map[string][]byte{"./" + strings.Repeat("long/", 60) + "a.webp": []byte("two")}))
	f.Add(holes)
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := 0
		err := readTar("in/shard.tar", bytes.NewReader(b), func(member string, content []byte, err error) error {
			if sum += len(content); err != nil && (!permanent(err) || content != nil) {
				t.Errorf("%q: %v, with %d bytes", member, err, len(content))
			}
			if !strings.HasPrefix(member, "in/shard.tar/") || !picture.HasEnding(member) {
				t.Errorf("a picture called %q", member)
			}
			return nil
		})
		if err != nil && !permanent(err) {
			t.Errorf("an error that is about no file: %v", err)
		}
		if sum > len(b) {
			t.Errorf("%d bytes of an archive of %d", sum, len(b))
		}
	})
}

// holes is an archive with a picture of 200 MB that are all zeros.
var holes = func() []byte {
	record := func(kind byte, name string, content string) []byte {
		h := make([]byte, 512)
		copy(h, name)
		copy(h[100:], "0000644\x000000000\x000000000\x00")
		size := len(content)
		for i := range 11 {
			h[134-i], size = '0'+byte(size%8), size/8
		}
		copy(h[136:], "00000000000\x00        ")
		h[156] = kind
		copy(h[257:], "ustar\x0000")
		sum := 0
		for _, v := range h {
			sum += int(v)
		}
		for i := range 6 {
			h[153-i], sum = '0'+byte(sum%8), sum/8
		}
		h[154], h[155] = 0, ' '
		return append(h, append([]byte(content), make([]byte, (512-len(content)%512)%512)...)...)
	}
	pax := "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n29 GNU.sparse.name=zeros.png\n33 GNU.sparse.realsize=200000000\n"
	return slices.Concat(record('x', "x", pax), record('0', "zeros.png", "1\n200000000\n0\n"+strings.Repeat("\x00", 498)),
		make([]byte, 1024))
}()

// TestHoles: a picture with holes is a dead letter, and those behind it are read.
func TestHoles(t *testing.T) {
	behind := packed(t, map[string][]byte{"a.png": []byte("one")})
	var got []string
	err := readTar("s.tar", bytes.NewReader(append(holes[:len(holes)-1024:len(holes)-1024], behind...)),
		func(member string, content []byte, err error) error {
			if err != nil {
				member = err.Error()
			}
			got = append(got, member)
			return nil
		})
	if err != nil || len(got) != 2 || !strings.Contains(got[0], "s.tar/zeros.png: stored with holes") ||
		got[1] != "s.tar/a.png" {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzList: a list's names are its lines, and a list of these names is the same list.
func FuzzList(f *testing.F) {
	for _, s := range []string{"", "a.jpg\nb c.jpg\r\n\r\ngs://b/*.png", "\uFEFFa.jpg", "a\x00", "\r\r\n\n x \n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte) (names []string, err error) {
			return names, readListInto(b, &names)
		}
		names, err := read(b)
		if (err != nil) != (bytes.IndexByte(b, 0) >= 0) {
			t.Fatalf("%v", err)
		}
		for _, name := range names {
			if name == "" || strings.ContainsAny(name, "\n\x00") || strings.HasSuffix(name, "\r") {
				t.Errorf("a name %q", name)
			}
		}
		if again, err := read([]byte("\uFEFF" + strings.Join(names, "\r\n"))); err != nil || !slices.Equal(again, names) {
			t.Errorf("%q, then %q, %v", names, again, err)
		}
	})
}

func readListInto(b []byte, names *[]string) error {
	return readList(b, func(name string) { *names = append(*names, name) })
}

// FuzzName: what is written into a folder that may be named stays in it, and what may not be named is a dead letter as
// a picture.
func FuzzName(f *testing.F) {
	for _, s := range []string{"", "a/b", "gs://bucket", "s3://bucket/a/", "gs://", "http://x/a.png", "gs://b/../c", "://",
		"a\xff.png", "../x", "/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if shard := shardOf(name, 7); shard < 0 || shard > 6 {
			t.Errorf("shard %d of 7", shard)
		}
		if err := checkName(name); err != nil {
			var damaged *damagedError
			if _, err := openRead(t.Context(), name); schemeOf(name) != "" && !errors.As(err, &damaged) {
				t.Errorf("to open it: %v", err)
			}
			return
		}
		file := join(name, "dead.jsonl")
		if checkName(file) != nil || schemeOf(file) != schemeOf(name) || !strings.HasSuffix(file, "dead.jsonl") {
			t.Errorf("%q gives %q", name, file)
		}
		if folder := strings.TrimRight(name, "/") + "/"; schemeOf(name) != "" && !strings.HasPrefix(file, folder) {
			t.Errorf("%q is not in %q", file, name)
		}
	})
}
