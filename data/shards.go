package data

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/picture"
)

// tarEnding is how the names of tar files end that are looked into.
const tarEnding = ".tar"

// packedName is what compressed ones are called.
var packedName = regexp.MustCompile(`(?i)\.(tar\.(gz|bz2|xz|zst|lz4)|tgz|tbz2|txz|tzst)$`)

// shardSource is a list of tar files beside each other.
type shardSource struct {
	name  string   // as the user named them
	dir   string   // where their class list may lie
	paths []string // at least one
}

// part is the files of one part, by their names: those with one of the words for the test part, or the others. Where
// either part would be empty they are not told apart, and all serve.
func (s shardSource) part(split Split) (paths []string, apart bool) {
	for _, path := range s.paths {
		words := strings.FieldsFunc(strings.ToLower(filepath.Base(path)),
			func(r rune) bool { return !unicode.IsLetter(r) })
		isTest := slices.ContainsFunc(words, func(w string) bool { return slices.Contains(partNames[Test], w) })
		if isTest == (split == Test) {
			paths = append(paths, path)
		}
	}
	if n := len(paths); n == 0 || n == len(s.paths) {
		return s.paths, false
	}
	return paths, true
}

func (s shardSource) Has(split Split) bool {
	_, apart := s.part(split)
	return split == Train || apart
}

func (s shardSource) Open(split Split) (Dataset, error) {
	classes, err := readClasses(s.dir)
	if err != nil {
		return nil, err
	}
	paths, _ := s.part(split)
	return openShards(s.name, paths, classes)
}

// findTars lists the tar files in dir, by name; nil if there are none.
func findTars(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("data set %q: %w", dir, err)
	}
	var tars, packed, subs []string
	for _, e := range entries { // ReadDir sorts by name
		name := strings.ToLower(e.Name())
		switch {
		case strings.HasPrefix(name, "."):
		case isDir(dir, e):
			subs = append(subs, filepath.Join(dir, e.Name()))
		case strings.HasSuffix(name, tarEnding):
			tars = append(tars, filepath.Join(dir, e.Name()))
		case packedName.MatchString(name):
			packed = append(packed, e.Name())
		}
	}
	if tars == nil {
		if len(packed) > 0 && len(subs) == 0 {
			return nil, fmt.Errorf("data set %q: %s: %w", dir, packed[0], errPacked("gunzip"))
		}
		return nil, nil
	}
	for _, sub := range subs {
		files, err := os.ReadDir(sub)
		if err != nil {
			return nil, fmt.Errorf("data set %q: %w", dir, err)
		}
		if slices.ContainsFunc(files, func(f os.DirEntry) bool { return picture.HasEnding(f.Name()) }) {
			return nil, fmt.Errorf(
				"data set %q: both tar files (%s, …) and sub-folders of images (%s, …): which of them are meant?",
				dir, filepath.Base(tars[0]), filepath.Base(sub))
		}
	}
	return tars, nil
}

// findPattern is the source of the files that a pattern with braces names.
func findPattern(pattern string) (Source, error) {
	paths, err := expandBraces(pattern)
	if err != nil {
		return nil, fmt.Errorf("data set %q: %w", pattern, err)
	}
	return findTarFiles(pattern, paths...)
}

// findTarFiles is the source of files, which spec names.
func findTarFiles(spec string, paths ...string) (Source, error) {
	for _, path := range paths {
		switch _, err := os.Stat(path); {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("data set %q: %s: %w", spec, path, fs.ErrNotExist)
		case packedName.MatchString(path):
			return nil, fmt.Errorf("data set %q: %w", path, errPacked("gunzip"))
		case !strings.HasSuffix(strings.ToLower(path), tarEnding):
			return nil, fmt.Errorf("data set %q: a file; want a %s file, or a folder "+
				"(of IDX files, CIFAR's files, %s files, class sub-folders)", path, tarEnding, tarEnding)
		}
	}
	return shardSource{spec, filepath.Dir(paths[0]), paths}, nil
}

// openShards finds the pictures in tar files, several at a time. Without classes the names are the labels' numbers, 0
// to the largest one.
func openShards(name string, paths, classes []string) (Dataset, error) {
	found, errs := make([][]picturePlace, len(paths)), make([]error, len(paths))
	var failed atomic.Bool
	parallel.For(min(runtime.GOMAXPROCS(0), 16), len(paths), func(_, i int) {
		if failed.Load() {
			return
		}
		if found[i], errs[i] = indexTarFile(paths[i]); errs[i] != nil {
			failed.Store(true)
		}
	})
	if err := cmp.Or(errs...); err != nil {
		return nil, err
	}
	f := &files{name: name, classes: classes, pictures: slices.Concat(found...)}
	top := 0
	for _, p := range f.pictures {
		if classes != nil && p.label >= len(classes) {
			return nil, fmt.Errorf("%s: label %d of %s is beyond the %d classes of %s",
				p.path, p.label, printable(p.member), len(classes), classFile)
		}
		top = max(top, p.label)
	}
	if len(f.pictures) == 0 {
		return nil, fmt.Errorf(
			"data set %q: no labelled picture (KEY.jpg with KEY.cls or KEY.json) in its %d tar files", name, len(paths))
	}
	if classes == nil {
		f.classes = numbered(top + 1)
	}
	return f, nil
}

// indexTarFile finds the labelled pictures of a tar file.
func indexTarFile(path string) ([]picturePlace, error) {
	f, size, err := regular.Open(path)
	if err != nil {
		return nil, err // names the path itself
	}
	defer f.Close()
	pictures, err := indexTar(path, f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return pictures, nil
}
