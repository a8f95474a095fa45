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
//	                     - one sub-folder for each class, in which pictures lie at any depth; what
//	                       a file holds decides, not its name
//	                     - pictures, and a list of their names and labels: Hugging Face's
//	                       metadata.jsonl, or a CSV, text or JSON file
//	FILE.tar             a tar file of members KEY.jpg (or .png, …) with KEY.cls, a label in
//	                     digits, or KEY.json, {"label": n}; read where it lies, never unpacked
//	LIST.csv             one of those lists, of pictures in its folder and below
//	a-{000..012}.tar     several of them; {a,b} lists words
//
// A folder may hold the parts in sub-folders of their own, whose names say so in any case: train or training; val,
// valid or validation; test or testing. One folder of such a name among others is a class. Tar files, and lists, are
// told apart by those words in their names. Where the parts are not told apart, all of the data set serves as any: see
// OpenParts for training.
//
// A file classes.txt beside the data names the classes, one a line, the first one's label being 0. Sub-folders of
// classes must then be among them. Without it names that are numbers are in the order of their values, and the others
// follow in that of their letters. What is hidden, empty or the debris of other programs is left out: see ContentsOf.
func Open(spec string, split Split) (Dataset, error) {
	s, err := Find(spec)
	if err != nil {
		return nil, err
	}
	return OpenPart(spec, s, split)
}

// OpenPart opens one part of a source, which spec names in errors. Where there are pictures to choose by but none to
// test on, as in ImageNet, the former are the test part.
func OpenPart(spec string, s Source, split Split) (Dataset, error) {
	if !slices.Contains(splits, split) {
		return nil, fmt.Errorf("data set %q: no part named %q, want one of %q", spec, split, splits)
	}
	if split == Test && !s.Has(Test) && s.Has(Validation) {
		split = Validation
	}
	return s.Open(split)
}

// Parts are the pictures of a training run. All have the same classes, and no picture is in two of them.
type Parts struct {
	Train      Dataset    // to learn from
	Validation Dataset    // to choose by: weights, an epoch, a precision; nil if there are none
	Test       Dataset    // to report, and for nothing else; nil if there are none
	Share      float64    // of the training pictures that were held out
	Rest       []Contents // what the data set has besides
}

// rester is a Source that knows what of it is no part of the data set.
type rester interface{ Rest() []Contents }

// Rest is what a data set has besides its parts: pictures without labels, folders that are neither class nor part.
func Rest(s Source) []Contents {
	if r, ok := s.(rester); ok {
		return r.Rest()
	}
	return nil
}

// What is held out to choose by where nobody says how much: a share of the training pictures, at least one of each
// class that has two, and no more than so many.
const (
	defaultShare   = 0.05
	defaultHeldOut = 5000
)

// OpenParts opens a data set for a training run. Where it has a validation part, that is what to choose by, share does
// not count, and there is a test part only if the data set has one. Else the validation part is a share of each class's
// training pictures; if share is 0, it is a twentieth of all or 5000. Where the data set has no test part either, half
// of what is held out becomes one; a share of 0 is then an error.
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
	p.Rest = Rest(s)
	tests, validates := s.Has(Test), s.Has(Validation)
	if !tests && !validates && s.Has(Train) && share == 0 {
		var found string
		for _, c := range p.Rest {
			found += fmt.Sprintf("; in %s are %s", c.Folder, c.SkippedText())
		}
		return Parts{}, fmt.Errorf("data set %q: %w (for a folder, that is a sub-folder %s beside one named train): "+
			"add one, or hold out a tenth of the training pictures with validation=0.1%s",
			spec, ErrNoTest, strings.Join(usualFolders[Test], " or "), found)
	}
	if p.Train, err = s.Open(Train); err != nil {
		return Parts{}, err
	}
	if tests {
		if p.Test, err = s.Open(Test); err != nil {
			return Parts{}, err
		}
	}
	if validates {
		if p.Validation, err = s.Open(Validation); err != nil {
			return Parts{}, err
		}
	}
	if err := agree(&p.Train, &p.Validation, &p.Test); err != nil {
		return Parts{}, fmt.Errorf("data set %q: %w", spec, err)
	}
	if validates {
		return p, nil
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
	p.Train, p.Validation = sets[0], noted(sets[1], "held out")
	if p.Test == nil {
		p.Test = noted(sets[2], "held out")
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
	case !info.IsDir() && isList(filepath.Base(spec)):
		return findList(spec)
	case !info.IsDir():
		return findTarFiles(spec, spec)
	}
	for _, s := range []Source{idxSource{spec}, cifarSource{spec, cifar10}, cifarSource{spec, cifar100}} {
		if s.Has(Train) || s.Has(Test) {
			return s, nil
		}
	}
	return findTree(spec)
}

// agree gives the parts of a data set, of which some may be nil, the same classes. Only classes that have no names but
// their numbers can differ without harm: the parts with fewer have no picture of the last ones.
func agree(parts ...*Dataset) error {
	var most []string
	for _, p := range parts {
		if *p == nil {
			continue
		}
		names := (*p).Classes()
		if most != nil && !slices.Equal(most, names) && (!Numbered(most) || !Numbered(names)) {
			return fmt.Errorf("its parts have different classes: %d (%s) and %d (%s)", len(most), few(most), len(names),
				few(names))
		}
		if len(names) > len(most) {
			most = names
		}
	}
	for _, p := range parts {
		if *p != nil && len((*p).Classes()) < len(most) {
			*p = rename(*p, most)
		}
	}
	return nil
}
