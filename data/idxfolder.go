package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// IDXNames are MNIST's file names for the two parts: pictures, then labels.
var IDXNames = map[Split][2]string{
	Train: {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
	Test:  {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
}

// idxSource is a folder of IDX files as MNIST names them.
type idxSource struct{ dir string }

func (s idxSource) Has(split Split) bool {
	for _, name := range IDXNames[split] {
		if name == "" { // MNIST has no such part
			continue
		}
		if _, err := findIDX(s.dir, name); err == nil {
			return true
		}
	}
	return false
}

func (s idxSource) Open(split Split) (Dataset, error) {
	classes, err := readClasses(s.dir)
	if err != nil {
		return nil, err
	}
	d, err := OpenIDXFolder(s.dir, split, classes)
	return listed(d, err, classes != nil)
}

// findIDX is the path of the file in dir, with .gz or without. The spelling t10k-images.idx3-ubyte, of some archives,
// will do as well.
func findIDX(dir, name string) (string, error) {
	for _, n := range []string{name, strings.Replace(name, "-idx", ".idx", 1)} {
		for _, ending := range []string{"", ".gz"} {
			path := filepath.Join(dir, n+ending)
			if _, err := os.Stat(path); err == nil {
				return path, nil
			} else if !errors.Is(err, fs.ErrNotExist) {
				return "", err // names the path itself
			}
		}
	}
	return "", fmt.Errorf("%s (or %s.gz): %w", filepath.Join(dir, name), name, fs.ErrNotExist)
}

// FindIDXFolder returns where the pictures and the labels of one part of a folder of IDX files are.
func FindIDXFolder(dir string, split Split) (paths [2]string, err error) {
	for i, name := range IDXNames[split] {
		if paths[i], err = findIDX(dir, name); err != nil {
			return paths, err
		}
	}
	return paths, nil
}

// OpenIDXFolder reads one part of a folder of IDX files. Without classes the names are the labels' numbers, 0 to the
// largest one.
func OpenIDXFolder(dir string, split Split, classes []string) (Dataset, error) {
	paths, err := FindIDXFolder(dir, split)
	if err != nil {
		return nil, err
	}
	var read [2]IDX
	for i := range read {
		if read[i], err = ReadIDXFile(paths[i]); err != nil {
			return nil, err
		}
	}
	return FromIDX(paths, read, classes)
}

// FromIDX joins pictures [n, H, W] and labels [n], whose files have those names.
func FromIDX(names [2]string, files [2]IDX, classes []string) (Dataset, error) {
	images, labels := files[0], files[1]
	switch {
	case len(images.Dims) != 3:
		return nil, fmt.Errorf("%s: shape %v, want [pictures height width]", names[0], images.Dims)
	case len(labels.Dims) != 1:
		return nil, fmt.Errorf("%s: shape %v, want [labels]", names[1], labels.Dims)
	case images.Dims[0] != labels.Dims[0]:
		return nil, fmt.Errorf("%s holds %d pictures, %s %d labels",
			names[0], images.Dims[0], names[1], labels.Dims[0])
	}
	if classes == nil {
		classes = numbered(1 + int(slices.Max(labels.Data)))
	}
	d, err := NewBlock(names[0], images.Data, labels.Data, 1, images.Dims[1], images.Dims[2], classes)
	if err != nil {
		return nil, fmt.Errorf("%w (labels from %s)", err, names[1])
	}
	return d, nil
}
