// Package datasets opens data sets by name: those that have one here, Fashion-MNIST and some pictures of textile, whose
// test images are in the program itself, and whatever package data finds at a path. It is apart from data so that
// programs which need neither the embedded pictures nor a download do not carry them.
package datasets

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/adavit/adavit/data"
)

// Find recognises what spec names:
//
//	fashion-mnist        the bundled test images; the training images from the Debian package
//	                     dataset-fashion-mnist, the user's cache, or downloaded once into it
//	fashion-mnist:DIR    the same with the training images in DIR
//	textile              60 bundled test pictures, unless a folder or file has that name
//
// and whatever data.Find knows. A download is told to log, which may be nil.
func Find(spec string, log *slog.Logger) (data.Source, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	name, dir, given := strings.Cut(spec, ":")
	switch {
	case name == fashionName && given && dir == "":
		return nil, fmt.Errorf("data set %q: no folder after the colon", spec)
	case name == fashionName:
		return fashionSource{dir, log}, nil
	}
	s, err := data.Find(spec)
	switch missing := errors.Is(err, fs.ErrNotExist) && !strings.Contains(spec, "{"); {
	case missing && spec == textileName: // recipes/textile.sh may well have made a folder of that name
		return textileSource{}, nil
	case missing:
		err = fmt.Errorf("data set %q: neither the name %s or %s, nor a folder or file that exists", spec, fashionName,
			textileName)
	}
	return s, err
}

// Open opens one part of what Find finds, as data.OpenPart does. Where the parts are not told apart, that is all of it,
// which log is told.
func Open(spec string, split data.Split, log *slog.Logger) (data.Dataset, error) {
	s, err := Find(spec, log)
	if err != nil {
		return nil, err
	}
	return OpenFound(spec, s, split, log)
}

// OpenFound is Open for what Find has found.
func OpenFound(spec string, s data.Source, split data.Split, log *slog.Logger) (data.Dataset, error) {
	apart := s.Has(data.Test) || s.Has(data.Validation) || len(data.Rest(s)) > 0
	d, err := data.OpenPart(spec, s, split)
	if err != nil {
		return nil, err
	}
	if split == data.Test && !apart && log != nil {
		log.Warn("no test part: all pictures are used, those too that a model may have learnt from", "data", spec)
	}
	return d, nil
}
