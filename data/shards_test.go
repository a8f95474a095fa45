package data

import (
	"archive/tar"
	"bytes"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
	"github.com/adavit/adavit/picture"
)

// member is one file of a tar file.
type member struct{ name, content string }

// tarred is a tar file of those members. It is the zero Format that lets the writer choose.
func tarred(t testing.TB, format tar.Format, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.content)), Format: format}
		switch {
		case strings.HasSuffix(m.name, "/"):
			h.Typeflag = tar.TypeDir
		case strings.HasPrefix(m.content, "->"):
			h.Typeflag, h.Linkname, h.Size, m.content = tar.TypeSymlink, m.content[2:], 0, ""
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// shard is a tar file of plain pictures, whose grey values are 10 times their labels.
func shard(t *testing.T, labels ...int) []byte {
	var members []member
	for i, l := range labels {
		members = append(members, member{fmt.Sprintf("%04d.png", i), string(plain(t, 3+i, 4, byte(10*l)))},
			member{fmt.Sprintf("%04d.cls", i), fmt.Sprint(l)})
	}
	return tarred(t, tar.FormatUnknown, members...)
}

// grey is the value of a plain picture.
func grey(t testing.TB, d Dataset, i int) int {
	t.Helper()
	img, err := Image(d, i, picture.Decoding{})
	if err != nil {
		t.Fatal(err)
	}
	return int(img.(*image.Gray).Pix[0])
}

// TestShards: whatever the format of the headers, the order of the members and their names, each picture comes with its
// label, in the order of the keys.
func TestShards(t *testing.T) {
	long := strings.Repeat("d/", 60) + strings.Repeat("n", 150) + "é"
	for _, format := range []tar.Format{tar.FormatUnknown, tar.FormatPAX, tar.FormatGNU} {
		dir := t.TempDir()
		filetest.Write(t, tarred(t, format,
			member{"some/", ""},
			member{"some/a.b/x1.seg.png", "not the picture"}, // the key ends at the first dot of the last part
			member{"some/a.b/x1.CLS", " 3\n"},
			member{"some/a.b/x1.PNG", string(plain(t, 5, 4, 30))},
			member{"some/readme", "no dot"},
			member{"some/.hidden.png", "a dot in front"},
			member{"x2.json", `{"caption": "two", "label": 1, "more": [1, {"label": 7}]}`},
			member{"x2.txt", "two"},
			member{long + ".png", string(plain(t, 9, 9, 0))},
			member{"x2.png", string(plain(t, 7, 2, 10))},
			member{long + ".cls", "0"},
			member{"both.json", `{"label": "cat"}`}, // not asked
			member{"both.cls", "2"},
			member{"both.jpg", string(plain(t, 2, 2, 20))}, // content decides
		), dir, "a.tar")
		d, err := Open(filepath.Join(dir, "a.tar"), Train)
		if err != nil {
			t.Fatal(err)
		}
		if c, h, w := d.Size(); d.Len() != 4 || c != 0 || h != 0 ||
			w != 0 || !slices.Equal(d.Classes(), []string{"0", "1", "2", "3"}) {
			t.Fatalf("%d pictures, classes %q", d.Len(), d.Classes())
		}
		for i, want := range []int{3, 1, 0, 2} {
			if got := grey(t, d, i); d.Label(i) != want || got != 10*want {
				t.Errorf("picture %d: label %d, value %d, want %d", i, d.Label(i), got, want)
			}
		}
		filetest.WantError(t, d.Pixels(nil, 0), "preprocessor", "a.tar")
	}
}

// TestShardLists: folders, patterns, parts and class lists; pictures in any order from several goroutines.
func TestShardLists(t *testing.T) {
	dir := t.TempDir()
	filetest.Write(t, shard(t, 0, 1), dir, "train-000.tar")
	filetest.Write(t, shard(t, 2), dir, "train-001.tar")
	filetest.Write(t, shard(t, 4, 0, 2), dir, "Val_000.tar")
	filetest.Write(t, []byte("x"), dir, "notes.txt")
	pattern := filepath.Join(dir, "train-{000..001}.tar")
	labels := func(spec string, split Split) string {
		t.Helper()
		d, err := Open(spec, split)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]int, d.Len())
		var wait sync.WaitGroup
		for i := range got {
			wait.Go(func() { got[d.Len()-1-i] = d.Label(d.Len() - 1 - i) })
			if v := grey(t, d, i); v != 10*d.Label(i) {
				t.Errorf("%s, picture %d: value %d, label %d", spec, i, v, d.Label(i))
			}
		}
		wait.Wait()
		return fmt.Sprint(got)
	}
	for _, c := range []struct {
		spec  string
		split Split
		want  string
	}{
		{dir, Train, "[0 1 2]"},
		{dir, Test, "[4 0 2]"},
		{pattern, Train, "[0 1 2]"},
		{pattern, Test, "[0 1 2]"}, // one part alone serves as either
		{filepath.Join(dir, "{Val_000,train-001}.tar"), Train, "[2]"},
		{filepath.Join(dir, "{Val_000,train-001}.tar"), Test, "[4 0 2]"},
		{filepath.Join(dir, "Val_000.tar"), Train, "[4 0 2]"},
	} {
		if got := labels(c.spec, c.split); got != c.want {
			t.Errorf("%s, %s: labels %s, want %s", c.spec, c.split, got, c.want)
		}
	}
	// Both parts of a pair have the classes of the one with more.
	p, err := OpenParts(dir, 0, 1)
	if err != nil || p.Train.Len() != 3 || p.Validation.Len() != 3 || p.Test != nil ||
		len(p.Train.Classes()) != 5 || len(p.Validation.Classes()) != 5 {
		t.Fatalf("%+v %v", p, err)
	}

	filetest.Write(t, []byte("zero\none\ntwo\nthree\nfour\n"), dir, "classes.txt")
	d, err := Open(dir, Train)
	if err != nil || len(d.Classes()) != 5 || d.Classes()[1] != "one" {
		t.Fatalf("%v, %v", d, err)
	}
	filetest.Write(t, []byte("zero\none\n"), dir, "classes.txt")
	_, err = Open(dir, Train)
	filetest.WantError(t, err, "train-001.tar: label 2 of 0000.png is beyond the 2 classes of classes.txt")

	parts := t.TempDir()
	filetest.Write(t, shard(t, 1), parts, "train", "b.tar")
	filetest.Write(t, shard(t, 0), parts, "train", "a.tar")
	filetest.Write(t, shard(t, 1, 1), parts, "test", "a.tar")
	if got := labels(parts, Train) + labels(parts, Test); got != "[0 1][1 1]" {
		t.Error(got)
	}
	filetest.Write(t, []byte("x"), parts, "train", "class", "1.png")
	_, err = Open(parts, Train)
	filetest.WantError(t, err, "both tar files (a.tar, …) and sub-folders of images (class, …)")

	// Through a preprocessor, and a picture that is damaged.
	bad := t.TempDir()
	filetest.Write(t, tarred(t, 0, member{"a.png", "\x89PNG no more"},
		member{"a.cls", "0"}, member{"\x1b[31m.png", ""}, member{"\x1b[31m.cls", "0"}), bad, "a.tar")
	if d, err = Open(bad, Train); err != nil {
		t.Fatal(err)
	}
	fit, err := Fit(d, picture.DefaultPreprocessor(4, 4, 3), 3, 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	filetest.WantError(t, fit.Pixels(make([]byte, 48), 0), filepath.Join(bad, "a.tar")+": a.png: ", "png")
	// no escapes reach a terminal
	filetest.WantError(t, fit.Pixels(make([]byte, 48), 1), `a.tar: "\x1b[31m.png": image file is empty`)
	if err := os.Remove(filepath.Join(bad, "a.tar")); err != nil {
		t.Fatal(err)
	}
	filetest.WantError(t, fit.Pixels(make([]byte, 48), 0), "a.tar", "gone")
}

// TestShardErrors: what is no shard, and shards that nobody could learn from.
func TestShardErrors(t *testing.T) {
	pic := func(name string) member { return member{name, string(plain(t, 2, 2, 9))} }
	good := tarred(t, 0, pic("a.png"), member{"a.cls", "0"})
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "the file is empty"},
		{"short", good[:100], "cut short"},
		{"no tar", bytes.Repeat([]byte("text "), 300), "tar: "},
		{"gzip", filetest.Gzip(t, good), "compressed tar file"},
		{"zstd", []byte("\x28\xb5\x2f\xfd" + strings.Repeat("x", 600)), "unzstd"},
		{"in a header", good[:1200], "cut short"},
		{"in a picture", good[:560], "cut short"},
		{"without an end", good[:len(good)-1024], "no end mark"},
		{"joined", slices.Concat(good, good), "joined"},
		{"no label", tarred(t, 0, pic("a.png"), member{"b.cls", "1"}, pic("b.png")),
			`"a.png": a picture without a label`},
		{"no picture", tarred(t, 0, member{"a.cls", "1"}, member{"a.txt", "1"}), `"a.cls": a label without a picture`},
		{"two pictures", tarred(t, 0, pic("a.png"), pic("a.jpg"), member{"a.cls", "1"}),
			`"a.jpg": a second picture beside "a.png"`},
		{"twice", tarred(t, 0, pic("a.png"), member{"a.cls", "1"}, member{"a.cls", "2"}), "comes twice"},
		{"json twice", tarred(t, 0, member{"a.json", `{"label":1}`}, member{"a.json", `{"label":1}`}), "comes twice"},
		{"word", tarred(t, 0, pic("a.png"), member{"a.cls", "cat"}), `label "cat"`},
		{"negative", tarred(t, 0, pic("a.png"), member{"a.cls", "-1"}), `label "-1"`},
		{"no digits", tarred(t, 0, pic("a.png"), member{"a.cls", ""}), `label ""`},
		{"too large", tarred(t, 0, pic("a.png"), member{"a.cls", "131072"}), "0 to 131071"},
		{"huge", tarred(t, 0, pic("a.png"), member{"a.cls", "99999999999999999999"}), "0 to 131071"},
		{"long label", tarred(t, 0, pic("a.png"), member{"a.cls", strings.Repeat(" ", 100) + "1"}), "101 bytes"},
		{"json word", tarred(t, 0, pic("a.png"), member{"a.json", `{"label": "1"}`}), `"a.png": its .json: label`},
		{"json fraction", tarred(t, 0, pic("a.png"), member{"a.json", `{"label": 1.5}`}), "label \"1.5\""},
		{"json without", tarred(t, 0, pic("a.png"), member{"a.json", `{"caption": "x"}`}), `no "label"`},
		{"no json", tarred(t, 0, pic("a.png"), member{"a.json", `{"label": 1`}), "its .json: unexpected end"},
		{"long json", tarred(t, 0, pic("a.png"), member{"a.json", strings.Repeat(" ", 1<<20) + "{}"}),
			"limit is 1048576"},
		{"link", tarred(t, 0, member{"a.png", "->/etc/passwd"}, member{"a.cls", "1"}), `"a.png": a link`},
		{"long name", tarred(t, tar.FormatPAX, pic(strings.Repeat("n", 5000)+".png")), "a name of 5004 bytes"},
		{"nothing", tarred(t, 0, member{"a.txt", "x"}), "no labelled picture"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "s.tar")
		filetest.Write(t, c.file, path)
		_, err := Open(path, Train)
		filetest.WantError(t, err, path, c.want)
		if err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}

	dir := t.TempDir()
	filetest.Write(t, filetest.Gzip(t, good), dir, "s.tar.gz")
	for _, spec := range []string{dir, filepath.Join(dir, "s.tar.gz"), filepath.Join(dir, "s.tar.{gz,xz}")} {
		_, err := Open(spec, Train)
		if strings.Contains(spec, "{") {
			os.WriteFile(filepath.Join(dir, "s.tar.xz"), nil, 0o644)
			_, err = Open(spec, Train)
		}
		filetest.WantError(t, err, "s.tar.", "unpack it")
	}
	filetest.Write(t, good, dir, "s-0.tar")
	_, err := Open(filepath.Join(dir, "s-{0..2}.tar"), Train)
	filetest.WantError(t, err, filepath.Join(dir, "s-1.tar"), "not exist")
	_, err = Open(filepath.Join(dir, "s-{0..x}.tar"), Train)
	filetest.WantError(t, err, "two numbers")
}

// resum puts the right sums into the headers of a tar file, so that changed ones are looked at.
func resum(b []byte) {
	for len(b) >= 512 && b[0] != 0 {
		copy(b[148:156], "        ")
		sum := 0
		for _, v := range b[:512] {
			sum += int(v)
		}
		copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
		size, err := strconv.ParseUint(strings.Trim(string(b[124:136]), " \x00"), 8, 31)
		if err != nil {
			return
		}
		b = b[min(512+(int(size)+511)/512*512, len(b)):]
	}
}

// FuzzTar: what the index says lies in the file, and is what reading the file from front to back finds under that name.
func FuzzTar(f *testing.F) {
	pic := member{"a/b.png", strings.Repeat("p", 600)}
	f.Add(tarred(f, tar.FormatUnknown, pic, member{"a/b.cls", "7"}))
	f.Add(tarred(f, tar.FormatPAX, member{"a/é.json", `{"label": 3}`}, member{"a/é.jpg", "x"}, member{"a/", ""}))
	f.Add(tarred(f, tar.FormatGNU, member{strings.Repeat("d/", 80) + "x.png", "p"},
		member{strings.Repeat("d/", 80) + "x.cls", "1"}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		resum(b)
		pictures, err := indexTar("x.tar", bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if pictures != nil {
				t.Fatal("both a result and an error")
			}
			return
		}
		want := map[string][]byte{}
		for tr := tar.NewReader(bytes.NewReader(b)); ; {
			h, err := tr.Next()
			if err != nil {
				break
			}
			if _, kind := memberKind(h.Name); kind == "picture" && h.Typeflag == tar.TypeReg {
				if want[h.Name], err = io.ReadAll(tr); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(pictures) != len(want) {
			t.Fatalf("%d pictures, want %d", len(pictures), len(want))
		}
		for _, p := range pictures {
			if p.label < 0 || p.label >= maxClasses || p.offset < 0 || p.size < 0 || p.offset > int64(len(b))-p.size {
				t.Fatalf("%+v in %d bytes", p, len(b))
			}
			if got, ok := want[p.member]; !ok || !bytes.Equal(b[p.offset:p.offset+p.size], got) {
				t.Fatalf("%+v: other bytes", p)
			}
		}
	})
}
