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

	"github.com/adavit/adavit/internal/parallel"
	"github.com/adavit/adavit/internal/regular"
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

// parts are the files of each part, by the words in their names; those without any are for training. If all are of one
// part they are not told apart, and there is none.
func (s shardSource) parts() map[Split][]string {
	parts := map[Split][]string{}
	for _, path := range s.paths {
		role, _ := roleOf(filepath.Base(path))
		role = cmp.Or(role, Train)
		parts[role] = append(parts[role], path)
	}
	if len(parts) < 2 {
		return nil
	}
	return parts
}

func (s shardSource) Has(split Split) bool {
	parts := s.parts()
	return parts[split] != nil || parts == nil && split == Train
}

func (s shardSource) Open(split Split) (Dataset, error) {
	classes, err := readClasses(s.dir)
	if err != nil {
		return nil, err
	}
	paths := s.paths
	if parts := s.parts(); parts != nil {
		if paths = parts[split]; paths == nil {
			return nil, fmt.Errorf("data set %q: no tar file of the %s part", s.name, split)
		}
	}
	return openShards(s.name, paths, classes)
}

// findTars lists the tar files in dir, by name; nil if there are none. Sub-folders of pictures beside them, or packed
// ones in their place, are an error.
func findTars(dir string) ([]string, error) {
	tars, packed, err := listTars(dir)
	if err != nil || tars == nil && packed == "" {
		return nil, err
	}
	l, err := readLevel(dir)
	switch {
	case err != nil:
		return nil, err
	case tars == nil && len(l.folders) == 0 && len(l.pictures) == 0:
		return nil, fmt.Errorf("data set %q: %s: %w", dir, packed, errPacked("gunzip"))
	case tars != nil && len(l.folders) > 0:
		return nil, fmt.Errorf("data set %q: both tar files (%s, …) and sub-folders of images (%s, …): "+
			"which of them are meant?", dir, filepath.Base(tars[0]), l.folders[0])
	}
	return tars, nil
}

// listTars lists the tar files in dir, by name, and tells the first packed one.
func listTars(dir string) (tars []string, packed string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, "", fmt.Errorf("data set %q: %w", dir, err)
	}
	for _, e := range entries { // ReadDir sorts by name
		name := strings.ToLower(e.Name())
		switch {
		case strings.HasPrefix(name, ".") || isDir(dir, e):
		case strings.HasSuffix(name, tarEnding):
			tars = append(tars, filepath.Join(dir, e.Name()))
		case packedName.MatchString(name):
			packed = cmp.Or(packed, e.Name())
		}
	}
	return tars, packed, nil
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
		case foreignFile(filepath.Base(path)) != "":
			return nil, fmt.Errorf("data set %q: %s", path, foreignFile(filepath.Base(path)))
		case !strings.HasSuffix(strings.ToLower(path), tarEnding):
			return nil, fmt.Errorf("data set %q: a file; want a %s file, a list of labels (.csv, .json, …), or a folder "+
				"(of IDX files, CIFAR's files, %s files, class sub-folders, pictures with a list)", path, tarEnding, tarEnding)
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
	f := &files{name: name, classes: classes, listed: classes != nil, pictures: slices.Concat(found...)}
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
