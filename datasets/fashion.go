package datasets

import (
	"bytes"
	_ "embed" // the test images
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/adavit/adavit/data"
)

// Fashion-MNIST (Xiao, Rasul, Vollgraf 2017; MIT licence, Zalando SE, see fashion/LICENSE): grey pictures of 28×28 in
// ten classes, 60 000 to train on and 10 000 to test, which are bundled.

//go:embed fashion/t10k-images-idx3-ubyte.gz
var fashionTestImages []byte

//go:embed fashion/t10k-labels-idx1-ubyte.gz
var fashionTestLabels []byte

const (
	fashionName  = "fashion-mnist"
	fashionSide  = 28
	fashionDebDo = "apt-get install dataset-fashion-mnist"
)

// fashionDebDir is where the Debian package dataset-fashion-mnist puts its files. A variable so that tests can do
// without it.
var fashionDebDir = "/usr/share/datasets/fashion-mnist"

// fashionClasses are named in the order of their labels.
var fashionClasses = []string{"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
	"Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}

// FashionMNISTTest is the test set of Fashion-MNIST, 10 000 pictures of [1, 28, 28], from the program itself. It is
// unpacked once, when first asked for.
func FashionMNISTTest() (data.Dataset, error) { return fashionTest() }

var fashionTest = sync.OnceValues(func() (data.Dataset, error) {
	const name = "bundled Fashion-MNIST test set"
	var parts [2]data.IDX
	for i, file := range [][]byte{fashionTestImages, fashionTestLabels} {
		var err error
		if parts[i], err = data.ReadIDX(name, bytes.NewReader(file)); err != nil {
			return nil, err
		}
	}
	return data.FromIDX([2]string{name, name}, parts, fashionClasses)
})

// fashionSource is Fashion-MNIST, its training images in dir if that is not "".
type fashionSource struct {
	dir string
	log *slog.Logger
}

// Has implements data.Source.
func (fashionSource) Has(split data.Split) bool { return split != data.Validation }

// Open implements data.Source. A dir that is named must have the training images even if only those to test on, which
// are bundled, are wanted.
func (s fashionSource) Open(split data.Split) (d data.Dataset, err error) {
	if s.dir != "" {
		if _, err := data.FindIDXFolder(s.dir, data.Train); err != nil {
			return nil, fmt.Errorf("data set %s:%s: %w", fashionName, s.dir, err)
		}
	}
	switch {
	case split == data.Test:
		return FashionMNISTTest()
	case s.dir == "":
		return fashionTrain(s.log)
	}
	if d, err = openFashionFolder(s.dir); err != nil {
		return nil, fmt.Errorf("data set %s:%s: %w", fashionName, s.dir, err)
	}
	return d, nil
}

// openFashionFolder reads the training images in dir and checks that they can be Fashion-MNIST's. (Not their sum: a
// part of the set is fine too.)
func openFashionFolder(dir string) (data.Dataset, error) {
	d, err := data.OpenIDXFolder(dir, data.Train, fashionClasses)
	if err != nil {
		return nil, err
	}
	if _, h, w := d.Size(); h != fashionSide || w != fashionSide {
		return nil, fmt.Errorf("%s: pictures of %d×%d, Fashion-MNIST's are 28×28", dir, h, w)
	}
	return d, nil
}

// fashionTrain looks for the training images: Debian's package, the user's cache, the network.
func fashionTrain(log *slog.Logger) (data.Dataset, error) {
	d, debErr := openFashionFolder(fashionDebDir)
	if debErr == nil {
		return d, nil
	}
	if errors.Is(debErr, fs.ErrNotExist) {
		debErr = fmt.Errorf("%s: not there", fashionDebDir)
	}
	d, err := fashionCached(log)
	if err == nil {
		return d, nil
	}
	return nil, fmt.Errorf("no Fashion-MNIST training images: %w; %w\n"+
		"Install the Debian package (%s), or put %s.gz and %s.gz into a folder DIR and name the data set %s:DIR",
		debErr, err, fashionDebDo, data.IDXNames[data.Train][0], data.IDXNames[data.Train][1], fashionName)
}

// fashionCached reads the training images from the user's cache, and downloads there what is missing or damaged.
func fashionCached(log *slog.Logger) (data.Dataset, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("no cache folder to download into: %w", err)
	}
	dir := filepath.Join(cache, "adavit", fashionName)
	var parts [2]data.IDX
	var paths [2]string
	for i, file := range fashionFiles {
		paths[i] = filepath.Join(dir, file.name)
		if parts[i], err = file.fetch(dir, log); err != nil {
			return nil, err
		}
	}
	return data.FromIDX(paths, parts, fashionClasses)
}
