package data

import (
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/picture"
)

// tarEnding is how the names of tar files end that are looked into.
const tarEnding = ".tar"

// packedEndings are those of compressed ones.
var packedEndings = []string{".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar.lz4"}

// shards is a Dataset of pictures in tar files. They are found once, and then read where they lie.
type shards struct {
	name     string
	paths    []string
	pictures []shardPicture
	classes  []string
}

// shardPicture is a picture of one of the files.
type shardPicture struct {
	tarPicture
	file int
}

// shardSource is a list of tar files beside each other.
type shardSource struct {
	name  string   // as the user named them
	dir   string   // where their class list may lie
	paths []string // at least one
}

// parts divides the files by their names: those with one of the words for the test part, and the others. Either may be
// empty, and then there are no parts.
func (s shardSource) parts() (train, test []string) {
	for _, path := range s.paths {
		words := strings.FieldsFunc(strings.ToLower(filepath.Base(path)),
			func(r rune) bool { return !unicode.IsLetter(r) })
		if slices.ContainsFunc(words, func(w string) bool { return slices.Contains(partNames[Test], w) }) {
			test = append(test, path)
		} else {
			train = append(train, path)
		}
	}
	return train, test
}

func (s shardSource) Has(split Split) bool {
	train, test := s.parts()
	return split == Train || len(train) > 0 && len(test) > 0
}

func (s shardSource) Open(split Split) (Dataset, error) {
	paths := s.paths
	if train, test := s.parts(); len(train) > 0 && len(test) > 0 {
		if paths = train; split == Test {
			paths = test
		}
	}
	classes, err := readClasses(s.dir)
	if err != nil {
		return nil, err
	}
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
		case isPacked(name):
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

// isPacked reports whether a file is called like a compressed tar file.
func isPacked(name string) bool {
	return slices.ContainsFunc(packedEndings,
		func(e string) bool { return strings.HasSuffix(strings.ToLower(name), e) })
}

// findTarFile is the source of a single file.
func findTarFile(path string) (Source, error) {
	if isPacked(path) {
		return nil, fmt.Errorf("data set %q: %w", path, errPacked("gunzip"))
	}
	if !strings.HasSuffix(strings.ToLower(path), tarEnding) {
		return nil, fmt.Errorf("data set %q: a file; want a %s file, or a folder "+
			"(of IDX files, CIFAR's files, %s files, class sub-folders)", path, tarEnding, tarEnding)
	}
	return shardSource{path, filepath.Dir(path), []string{path}}, nil
}

// findPattern is the source of the files that a pattern with braces names.
func findPattern(pattern string) (Source, error) {
	paths, err := expandBraces(pattern)
	if err != nil {
		return nil, fmt.Errorf("data set %q: %w", pattern, err)
	}
	for _, path := range paths {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("data set %q: %s: %w", pattern, path, fs.ErrNotExist)
		}
		if _, err := findTarFile(path); err != nil {
			return nil, err
		}
	}
	return shardSource{pattern, filepath.Dir(paths[0]), paths}, nil
}

// openShards finds the pictures in tar files, several at a time. Without classes the names are the labels' numbers, 0
// to the largest one.
func openShards(name string, paths, classes []string) (Dataset, error) {
	found, errs := make([][]tarPicture, len(paths)), make([]error, len(paths))
	var failed atomic.Bool
	parallel.For(min(runtime.GOMAXPROCS(0), 16), len(paths), func(_, i int) {
		if failed.Load() {
			return
		}
		if found[i], errs[i] = indexTarFile(paths[i]); errs[i] != nil {
			failed.Store(true)
		}
	})
	s := &shards{name: name, paths: paths, classes: classes}
	total, top := 0, 0
	for i, pictures := range found {
		if errs[i] != nil {
			return nil, errs[i]
		}
		total += len(pictures)
	}
	s.pictures = make([]shardPicture, 0, total)
	for i, pictures := range found {
		for _, p := range pictures {
			if classes != nil && p.label >= len(classes) {
				return nil, fmt.Errorf("%s: label %d of %s is beyond the %d classes of %s",
					paths[i], p.label, printable(p.name), len(classes), classFile)
			}
			top = max(top, p.label)
			s.pictures = append(s.pictures, shardPicture{p, i})
		}
	}
	if total == 0 {
		return nil, fmt.Errorf(
			"data set %q: no labelled picture (KEY.jpg with KEY.cls or KEY.json) in its %d tar files", name, len(paths))
	}
	if classes == nil {
		s.classes = numbered(top + 1)
	}
	return s, nil
}

// indexTarFile finds the labelled pictures of a tar file.
func indexTarFile(path string) ([]tarPicture, error) {
	f, size, err := regular.Open(path)
	if err != nil {
		return nil, err // names the path itself
	}
	defer f.Close()
	pictures, err := indexTar(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return pictures, nil
}

func (s *shards) Len() int                            { return len(s.pictures) }
func (s *shards) Label(i int) int                     { return s.pictures[i].label }
func (s *shards) Classes() []string                   { return s.classes }
func (s *shards) Size() (channels, height, width int) { return 0, 0, 0 }

// Image decodes picture i. The file is opened for each: no handles are kept, and opening costs little beside decoding.
func (s *shards) Image(i int) (image.Image, error) {
	p := &s.pictures[i]
	f, _, err := regular.Open(s.paths[p.file])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	defer f.Close()
	return picture.Decode(s.nameOf(i), io.NewSectionReader(f, p.offset, p.size))
}

// Pixels fails: the pictures differ in size.
func (s *shards) Pixels([]byte, int) error {
	return fmt.Errorf("data set %q: its pictures have no common size, so they need a model's preprocessor", s.name)
}

func (s *shards) nameOf(i int) string {
	p := &s.pictures[i]
	return s.paths[p.file] + ": " + printable(p.name)
}

// printable is a name from a file that is not trusted, for messages.
func printable(name string) string {
	if q := strconv.Quote(name); q[1:len(q)-1] != name {
		return q
	}
	return name
}

// renamed is the same pictures with other names for their classes, of which there are no fewer.
func (s *shards) renamed(classes []string) Dataset {
	r := *s
	r.classes = classes
	return &r
}
