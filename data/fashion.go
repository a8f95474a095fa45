package data

import (
	"bytes"
	_ "embed" // the test images
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Fashion-MNIST (Xiao, Rasul, Vollgraf 2017; MIT licence, Zalando SE, see
// fashion/LICENSE): grey pictures of 28×28 in ten classes, 60 000 to train on
// and 10 000 to test, which are bundled.

//go:embed fashion/t10k-images-idx3-ubyte.gz
var fashionTestImages []byte

//go:embed fashion/t10k-labels-idx1-ubyte.gz
var fashionTestLabels []byte

const (
	fashionName  = "fashion-mnist"
	fashionSide  = 28
	fashionDebDo = "apt-get install dataset-fashion-mnist"
)

// fashionDebDir is where the Debian package dataset-fashion-mnist puts its
// files. A variable so that tests can do without it.
var fashionDebDir = "/usr/share/datasets/fashion-mnist"

var fashionClasses = []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
	"Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}

// FashionMNISTClasses names the ten classes in the order of their labels.
func FashionMNISTClasses() []string { return slices.Clone(fashionClasses) }

var fashionTest = sync.OnceValues(func() (*Block, error) {
	const name = "bundled Fashion-MNIST test set"
	images, err := ReadIDX(name, bytes.NewReader(fashionTestImages))
	if err != nil {
		return nil, err
	}
	labels, err := ReadIDX(name, bytes.NewReader(fashionTestLabels))
	if err != nil {
		return nil, err
	}
	return blockFromIDX(name, images, name, labels, fashionClasses)
})

// FashionMNISTTest is the test set of Fashion-MNIST, 10 000 pictures of
// [1, 28, 28], from the program itself. It is unpacked once, when first asked for.
func FashionMNISTTest() (Dataset, error) {
	b, err := fashionTest()
	if err != nil {
		return nil, err
	}
	return b, nil
}

// fashionSource is Fashion-MNIST, its training images in that folder if it is
// not "".
type fashionSource string

func (s fashionSource) has(Split) bool { return true }

func (s fashionSource) open(split Split) (Dataset, error) { return openFashion(string(s), split) }

// openFashion is one part of Fashion-MNIST. With a dir the training images
// must be there.
func openFashion(dir string, split Split) (Dataset, error) {
	if dir != "" {
		if info, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("data set %s:%s: %w", fashionName, dir, err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("data set %s:%s: not a folder", fashionName, dir)
		}
	}
	if split == Test {
		return FashionMNISTTest()
	}
	if dir != "" {
		b, err := openFashionFolder(dir)
		if err != nil {
			return nil, fmt.Errorf("data set %s:%s: %w", fashionName, dir, err)
		}
		return b, nil
	}
	return fashionTrain()
}

// openFashionFolder reads the training images in dir and checks that they can
// be Fashion-MNIST's. (Not their sum: a part of the set is fine too.)
func openFashionFolder(dir string) (*Block, error) {
	b, err := openIDXFolder(dir, Train, fashionClasses)
	if err != nil {
		return nil, err
	}
	if b.height != fashionSide || b.width != fashionSide {
		return nil, fmt.Errorf("%s: pictures of %d×%d, Fashion-MNIST's are 28×28", b.name, b.height, b.width)
	}
	return b, nil
}

// fashionTrain looks for the training images: Debian's package, the user's
// cache, the network.
func fashionTrain() (Dataset, error) {
	b, debErr := openFashionFolder(fashionDebDir)
	if debErr == nil {
		return b, nil
	}
	if errors.Is(debErr, fs.ErrNotExist) {
		debErr = fmt.Errorf("%s: not there", fashionDebDir)
	}
	b, err := fashionCached()
	if err == nil {
		return b, nil
	}
	return nil, fmt.Errorf("no Fashion-MNIST training images: %w; %w\n"+
		"Install the Debian package (%s), or put %s.gz and %s.gz into a folder DIR and name the data set %s:DIR",
		debErr, err, fashionDebDo, idxNames[Train][0], idxNames[Train][1], fashionName)
}

// fashionCached reads the training images from the user's cache, and downloads
// there what is missing or damaged.
func fashionCached() (*Block, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("no cache folder to download into: %w", err)
	}
	dir := filepath.Join(cache, "adavit", fashionName)
	var parts [2]IDX
	var paths [2]string
	for i, file := range fashionFiles {
		paths[i] = filepath.Join(dir, file.name)
		if parts[i], err = file.fetch(dir); err != nil {
			return nil, err
		}
	}
	return blockFromIDX(paths[0], parts[0], paths[1], parts[1], fashionClasses)
}
