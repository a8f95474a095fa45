package data

import (
	"cmp"
	"errors"
	"fmt"
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
	files  map[Split][]string // of each part; the first one must be there
	names  string             // file that names the classes
	count  int                // classes
	groups int                // their groups, whose labels go before the classes'; 0: none
}

var (
	cifar10 = &cifarKind{
		files: map[Split][]string{Test: {"test_batch.bin"}, Train: {"data_batch_1.bin", "data_batch_2.bin",
			"data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"}},
		names: "batches.meta.txt", count: 10,
	}
	cifar100 = &cifarKind{
		files: map[Split][]string{Train: {"train.bin"}, Test: {"test.bin"}},
		names: "fine_label_names.txt", count: 100, groups: 20,
	}
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

func (s cifarSource) Has(split Split) bool {
	return slices.ContainsFunc(s.kind.files[split], func(name string) bool {
		info, err := os.Stat(filepath.Join(s.dir, name))
		return err == nil && !info.IsDir()
	})
}

// Open reads a part into memory. Of the training part's files, the last ones may be missing.
func (s cifarSource) Open(split Split) (Dataset, error) {
	classes, own, err := s.classes()
	if err != nil {
		return nil, err
	}
	var pixels, labels []byte
	missing := ""
	for i, name := range s.kind.files[split] {
		path := filepath.Join(s.dir, name)
		b, err := regular.Read(path, maxCIFAR)
		switch {
		case i > 0 && errors.Is(err, fs.ErrNotExist):
			missing = cmp.Or(missing, name)
			continue
		case err != nil:
			return nil, err
		case missing != "":
			return nil, fmt.Errorf("data set %q: %s is missing, though there is %s", s.dir, missing, name)
		}
		if pixels, labels, err = s.kind.appendRecords(pixels, labels, b); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	d, err := NewBlock(s.dir, pixels, labels, 3, cifarSide, cifarSide, classes)
	return listed(d, err, own)
}

// classes are those of classes.txt, which is the user's own, of the data set's own list, or numbers.
func (s cifarSource) classes() (names []string, own bool, err error) {
	names, err = readClasses(s.dir)
	if err != nil || names != nil {
		return names, true, err
	}
	path := filepath.Join(s.dir, s.kind.names)
	names, err = readClassFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		names, err = numbered(s.kind.count), nil
	}
	if err == nil && len(names) != s.kind.count {
		err = fmt.Errorf("%s: %d classes, want %d", path, len(names), s.kind.count)
	}
	return names, false, err
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
func (k *cifarKind) appendRecords(pixels, labels, file []byte) (allPixels, allLabels []byte, err error) {
	if len(file) == 0 {
		return nil, nil, errors.New("the file is empty")
	}
	pixels = slices.Grow(pixels, len(file)/k.record()*cifarPixels)
	n := 0
	for record := range slices.Chunk(file, k.record()) {
		if len(record) < k.record() {
			return nil, nil, fmt.Errorf("%d bytes after %d pictures of %d: not a CIFAR-%d file, or cut short",
				len(record), n, k.record(), k.count)
		}
		head := record[:len(record)-cifarPixels]
		label := head[len(head)-1]
		if int(label) >= k.count || k.groups > 0 && int(head[0]) >= k.groups {
			return nil, nil, fmt.Errorf("picture %d: label bytes %v: not a CIFAR-%d file", n, head, k.count)
		}
		pixels, labels = append(pixels, record[len(head):]...), append(labels, label)
		n++
	}
	return pixels, labels, nil
}
