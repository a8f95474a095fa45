package data

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/adavit/adavit/internal/regular"
)

// CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their "binary version": files of records without any header, each the
// label or, in CIFAR-100, the label of its group and the label, and then the picture, 32×32, as three planes, red,
// green, blue: [3, 32, 32].

// cifarKind is one of the two data sets.
type cifarKind struct {
	train  []string // files of the training part, of which the first ones must be there
	test   string
	names  string // file that names the classes
	count  int    // classes
	groups int    // their groups, whose labels go before the classes'; 0: none
}

var (
	cifar10 = cifarKind{
		train: []string{"data_batch_1.bin", "data_batch_2.bin",
			"data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
		test: "test_batch.bin", names: "batches.meta.txt", count: 10,
	}
	cifar100 = cifarKind{train: []string{"train.bin"}, test: "test.bin",
		names: "fine_label_names.txt", count: 100, groups: 20}
)

const (
	cifarSide   = 32
	cifarPixels = 3 * cifarSide * cifarSide
	maxCIFAR    = 1 << 30 // bytes of one file
)

// cifarSource is a folder of either data set.
type cifarSource struct {
	dir  string
	kind *cifarKind
}

// findCIFAR looks for the files of either data set in dir.
func findCIFAR(dir string) (Source, bool) {
	for _, kind := range []*cifarKind{&cifar10, &cifar100} {
		if s := (cifarSource{dir, kind}); s.Has(Train) || s.Has(Test) {
			return s, true
		}
	}
	return nil, false
}

// files are those of a part.
func (s cifarSource) files(split Split) []string {
	if split == Test {
		return []string{s.kind.test}
	}
	return s.kind.train
}

func (s cifarSource) Has(split Split) bool {
	for _, name := range s.files(split) {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}

// open reads a part into memory. Of the training part's files, the last ones may be missing.
func (s cifarSource) Open(split Split) (Dataset, error) {
	classes, err := s.classes()
	if err != nil {
		return nil, err
	}
	var pixels, labels []byte
	names := s.files(split)
	for i, name := range names {
		path := filepath.Join(s.dir, name)
		if _, err := os.Stat(path); i > 0 && errors.Is(err, fs.ErrNotExist) {
			for _, later := range names[i+1:] {
				if _, err := os.Stat(filepath.Join(s.dir, later)); err == nil {
					return nil, fmt.Errorf("data set %q: %s is missing, though there is %s", s.dir, name, later)
				}
			}
			break
		}
		if pixels, labels, err = s.kind.appendFile(pixels, labels, path); err != nil {
			return nil, err
		}
	}
	b, err := NewBlock(s.dir, pixels, labels, 3, cifarSide, cifarSide, classes)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// classes are those of classes.txt, of the data set's own list, or numbers.
func (s cifarSource) classes() ([]string, error) {
	names, err := readClasses(s.dir)
	if err != nil || names != nil {
		return names, err
	}
	path := filepath.Join(s.dir, s.kind.names)
	names, err = readClassFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		names, err = numbered(s.kind.count), nil
	}
	if err == nil && len(names) != s.kind.count {
		err = fmt.Errorf("%s: %d classes, want %d", path, len(names), s.kind.count)
	}
	return names, err
}

// appendFile adds a file's pictures and labels.
func (k *cifarKind) appendFile(pixels, labels []byte, path string) ([]byte, []byte, error) {
	f, size, err := regular.Open(path)
	if err != nil {
		return nil, nil, err // names the path itself
	}
	defer f.Close()
	if size > maxCIFAR {
		return nil, nil, fmt.Errorf("%s: %d bytes: not a CIFAR-%d file", path, size, k.count)
	}
	pixels = slices.Grow(pixels, int(size)/k.record()*cifarPixels)
	if pixels, labels, err = k.appendRecords(pixels, labels, f); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return pixels, labels, nil
}

// record is the number of bytes of a record.
func (k *cifarKind) record() int {
	if k.groups > 0 {
		return 2 + cifarPixels
	}
	return 1 + cifarPixels
}

// appendRecords adds the pictures and labels of a file. It must have whole records, at least one, and labels as they
// can be.
func (k *cifarKind) appendRecords(pixels, labels []byte, r io.Reader) ([]byte, []byte, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	record := make([]byte, k.record())
	head := record[:len(record)-cifarPixels]
	for n := 0; ; n++ {
		switch got, err := io.ReadFull(br, record); {
		case err == io.EOF && n == 0:
			return nil, nil, errors.New("the file is empty")
		case err == io.EOF:
			return pixels, labels, nil
		case err == io.ErrUnexpectedEOF:
			return nil, nil, fmt.Errorf("%d bytes after %d pictures of %d: not a CIFAR-%d file, or cut short",
				got, n, len(record), k.count)
		case err != nil:
			return nil, nil, fmt.Errorf("after %d pictures: %w", n, err)
		}
		label := head[len(head)-1]
		if int(label) >= k.count || k.groups > 0 && int(head[0]) >= k.groups {
			return nil, nil, fmt.Errorf("picture %d: label bytes %v: not a CIFAR-%d file", n, head, k.count)
		}
		pixels, labels = append(pixels, record[len(head):]...), append(labels, label)
	}
}
