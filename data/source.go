package data

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Source is where a data set lies, before any of it is read.
type Source interface {
	// Has reports whether that part can be opened. A source that does not tell the parts apart has a training part
	// only.
	Has(split Split) bool
	// Open reads one part; all of it, if the source does not tell the parts apart.
	Open(split Split) (Dataset, error)
}

// Open opens a data set:
//
//	DIR                  a folder of one of these:
//	                     - IDX files as MNIST names them (train-images-idx3-ubyte,
//	                       t10k-labels-idx1-ubyte, …, with or without .gz)
//	                     - CIFAR-10's or CIFAR-100's binary files (data_batch_1.bin, test_batch.bin, …;
//	                       train.bin, test.bin)
//	                     - tar files named as WebDataset does (see FILE.tar)
//	                     - one sub-folder of image files for each class
//	FILE.tar             a tar file of members KEY.jpg (or .png, …) with KEY.cls, a label in
//	                     digits, or KEY.json, {"label": n}; read where it lies, never unpacked
//	a-{000..012}.tar     several of them; {a,b} lists words
//
// A folder of classes or of tar files may hold the parts in sub-folders of their own (train; and test, val or
// validation). Tar files beside each other are told apart by those words in their names, if some have one of the second
// kind and others do not. Where the parts are not told apart, all of the data set serves as either one: see OpenParts
// for training.
//
// A file classes.txt beside the data names the classes, one a line, the first one's label being 0. Sub-folders of
// classes must then be among them.
func Open(spec string, split Split) (Dataset, error) {
	s, err := Find(spec)
	if err != nil {
		return nil, err
	}
	return OpenPart(spec, s, split)
}

// OpenPart opens one part of a source, which spec names in errors.
func OpenPart(spec string, s Source, split Split) (Dataset, error) {
	if split != Train && split != Test {
		return nil, fmt.Errorf("data set %q: no part named %q, want %q or %q", spec, split, Train, Test)
	}
	return s.Open(split)
}

// Parts are the pictures of a training run. All have the same classes, and no picture is in two of them.
type Parts struct {
	Train      Dataset // to learn from
	Validation Dataset // to choose by: weights, an epoch, a precision; nil if there are none
	Test       Dataset // to report, and for nothing else; nil if there are none
	Share      float64 // of the training pictures that were held out
}

// What is held out to choose by where nobody says how much: a share of the training pictures, at least one of each
// class that has two, and no more than so many.
const (
	defaultShare   = 0.05
	defaultHeldOut = 5000
)

// OpenParts opens a data set for a training run. The validation part is a share of each class's training pictures; if
// share is 0, it is a twentieth of all or 5000. Where the data set has no test part of its own, half of what is held
// out becomes one; a share of 0 is then an error.
func OpenParts(spec string, share float64, seed uint64) (Parts, error) {
	s, err := Find(spec)
	if err != nil {
		return Parts{}, err
	}
	return PartsOf(spec, s, share, seed)
}

// ErrNoTest is wrapped by the error about a data set that has nothing to test on, and of which nothing is to be held
// out.
var ErrNoTest = errors.New("no test part")

// PartsOf is OpenParts for a source, which spec names in errors.
func PartsOf(spec string, s Source, share float64, seed uint64) (p Parts, err error) {
	if !(share >= 0 && share < 1) {
		return Parts{}, fmt.Errorf("validation %v: want a share of the training pictures "+
			"from 0 to less than 1, such as 0.1", share)
	}
	apart := s.Has(Test)
	if !apart && s.Has(Train) && share == 0 {
		return Parts{}, fmt.Errorf("data set %q: %w (for a folder, that is a sub-folder %s beside one named %s): "+
			"add one, or hold out a tenth of the training pictures with validation=0.1",
			spec, ErrNoTest, strings.Join(partNames[Test], " or "), partNames[Train][0])
	}
	if p.Train, err = s.Open(Train); err != nil {
		return Parts{}, err
	}
	if apart {
		if p.Test, err = s.Open(Test); err != nil {
			return Parts{}, err
		}
		if p.Train, p.Test, err = agree(p.Train, p.Test); err != nil {
			return Parts{}, fmt.Errorf("data set %q: %w", spec, err)
		}
	}
	if err := p.holdOut(share, seed); err != nil {
		return Parts{}, fmt.Errorf("data set %q: %w", spec, err)
	}
	return p, nil
}

// holdOut takes the validation part from the training part, and the test part too if there is none.
func (p *Parts) holdOut(share float64, seed uint64) error {
	least, parts := 0, 1
	if p.Test == nil {
		parts = 2
	}
	p.Share = share
	if share == 0 {
		p.Share, least = min(defaultShare, defaultHeldOut/float64(p.Train.Len())), 1
	}
	sets, err := holdOut(p.Train, p.Share, least, parts, seed)
	if share == 0 && errors.Is(err, errNoneHeld) { // no class has a picture to spare
		p.Share = 0
		return nil
	}
	if err != nil {
		return err
	}
	p.Train, p.Validation = sets[0], sets[1]
	if p.Test == nil {
		p.Test = sets[2]
	}
	return nil
}

// Find recognises what spec names.
func Find(spec string) (Source, error) {
	info, err := os.Stat(spec)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.Contains(spec, "{"):
		return findPattern(spec)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("data set %q: neither a folder nor a file exists there: %w", spec, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("data set %q: %w", spec, err)
	case !info.IsDir():
		return findTarFiles(spec, spec)
	}
	for _, s := range []Source{idxSource{spec}, cifarSource{spec, cifar10}, cifarSource{spec, cifar100}} {
		if s.Has(Train) || s.Has(Test) {
			return s, nil
		}
	}
	tree := findTree(spec)
	if len(tree.part) == 0 {
		if tars, err := findTars(spec); err != nil {
			return nil, err
		} else if tars != nil {
			return shardSource{spec, spec, tars}, nil
		}
	}
	return tree, nil
}

// agree gives both parts of a data set the same classes. Only classes that have no names but their numbers can differ
// without harm: the part with fewer has no picture of the last ones.
func agree(train, test Dataset) (Dataset, Dataset, error) {
	a, b := train.Classes(), test.Classes()
	if slices.Equal(a, b) {
		return train, test, nil
	}
	if !Numbered(a) || !Numbered(b) {
		return nil, nil, fmt.Errorf(
			"the training part has %d classes (%s, …), the test part %d (%s, …): they must be the same ones",
			len(a), a[0], len(b), b[0])
	}
	if len(a) < len(b) {
		return rename(train, b), test, nil
	}
	return train, rename(test, a), nil
}
