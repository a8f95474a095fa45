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

// isIDX reports whether dir looks like a folder of IDX files of either part.
func isIDX(dir string) bool {
	s := idxSource{dir}
	return s.Has(Train) || s.Has(Test)
}

func (s idxSource) Has(split Split) bool {
	for _, name := range IDXNames[split] {
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
	b, err := OpenIDXFolder(s.dir, split, classes)
	if err != nil {
		return nil, err
	}
	return b, nil
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

// OpenIDXFolder reads one part of a folder of IDX files. Without classes the names are the labels' numbers, 0 to the
// largest one.
func OpenIDXFolder(dir string, split Split, classes []string) (*Block, error) {
	imagePath, err := findIDX(dir, IDXNames[split][0])
	if err != nil {
		return nil, err
	}
	labelPath, err := findIDX(dir, IDXNames[split][1])
	if err != nil {
		return nil, err
	}
	images, err := ReadIDXFile(imagePath)
	if err != nil {
		return nil, err
	}
	labels, err := ReadIDXFile(labelPath)
	if err != nil {
		return nil, err
	}
	return BlockFromIDX(imagePath, images, labelPath, labels, classes)
}

// BlockFromIDX joins pictures [n, H, W] and labels [n].
func BlockFromIDX(imageName string, images IDX, labelName string, labels IDX, classes []string) (*Block, error) {
	if len(images.Dims) != 3 {
		return nil, fmt.Errorf("%s: shape %v, want [pictures height width]", imageName, images.Dims)
	}
	if len(labels.Dims) != 1 {
		return nil, fmt.Errorf("%s: shape %v, want [labels]", labelName, labels.Dims)
	}
	if images.Dims[0] != labels.Dims[0] {
		return nil, fmt.Errorf("%s holds %d pictures, %s %d labels",
			imageName, images.Dims[0], labelName, labels.Dims[0])
	}
	if classes == nil {
		classes = numbered(1 + int(slices.Max(labels.Data)))
	}
	b, err := NewBlock(imageName, images.Data, labels.Data, 1, images.Dims[1], images.Dims[2], classes)
	if err != nil {
		return nil, fmt.Errorf("%w (labels from %s)", err, labelName)
	}
	return b, nil
}
