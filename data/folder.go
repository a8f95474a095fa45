package data

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"strings"

	"github.com/adavit/adavit/picture"
)

// folder is a Dataset of image files, one sub-folder for each class; they are decoded on demand.
type folder struct {
	dir     string
	classes []string
	paths   []string
	labels  []int
}

// partNames are the sub-folders that may hold a part of a data set.
var partNames = map[Split][]string{
	Train: {"train"},
	Test:  {"test", "val", "validation"},
}

// treeSource is a folder of class sub-folders, or of tar shards, which may hold the parts in sub-folders of their own.
type treeSource struct {
	dir  string
	part map[Split]string // nil: all of it serves as either part
}

// findTree looks which parts dir has sub-folders for.
func findTree(dir string) treeSource {
	s := treeSource{dir, map[Split]string{}}
	for split, names := range partNames {
		for _, name := range names {
			sub := filepath.Join(dir, name)
			if info, err := os.Stat(sub); err == nil && info.IsDir() {
				s.part[split] = sub
				break
			}
		}
	}
	if len(s.part) == 0 {
		s.part = nil
	}
	return s
}

func (s treeSource) Has(split Split) bool {
	return s.part[split] != "" || s.part == nil && split == Train
}

func (s treeSource) Open(split Split) (Dataset, error) {
	dir := s.dir
	if s.part != nil {
		if dir = s.part[split]; dir == "" {
			return nil, fmt.Errorf("data set %q: no sub-folder %s", s.dir, strings.Join(partNames[split], " or "))
		}
	}
	classes, err := readClasses(s.dir, dir)
	if err != nil {
		return nil, err
	}
	if tars, err := findTars(dir); err != nil {
		return nil, err
	} else if tars != nil {
		return openShards(dir, tars, classes)
	}
	// The labels of a test part are those of the training part: it may lack a class.
	if train := s.part[Train]; classes == nil && split == Test && train != "" {
		if classes, _, err = classFolders(train); err != nil {
			return nil, err
		}
	}
	return listFolder(dir, classes)
}

// classFolders lists the sub-folders of dir, in order of their names: the names, and their paths.
func classFolders(dir string) (names, paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("data set %q: %w", dir, err)
	}
	for _, e := range entries { // ReadDir sorts by name
		if !strings.HasPrefix(e.Name(), ".") && isDir(dir, e) {
			names, paths = append(names, e.Name()), append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return names, paths, nil
}

// listFolder lists the pictures in the class sub-folders of dir. With a class list it says the labels: a sub-folder
// that it does not name is an error, a class without a sub-folder has no picture here.
func listFolder(dir string, classes []string) (*folder, error) {
	names, paths, err := classFolders(dir)
	if err != nil {
		return nil, err
	}
	if classes == nil {
		classes = names
	}
	label := make(map[string]int, len(classes))
	for i, name := range classes {
		label[name] = i
	}
	f := &folder{dir: dir, classes: classes}
	for k, class := range paths {
		files, err := os.ReadDir(class)
		if err != nil {
			return nil, fmt.Errorf("data set %q: %w", dir, err)
		}
		l, ok := label[names[k]]
		if !ok {
			return nil, fmt.Errorf("data set %q: the sub-folder %q is none of the %d classes "+
				"(%s names them, or else the folder of the training part)",
				dir, names[k], len(classes), classFile)
		}
		for _, file := range files {
			if !strings.HasPrefix(file.Name(), ".") && !file.IsDir() && picture.HasEnding(file.Name()) {
				f.paths = append(f.paths, filepath.Join(class, file.Name()))
				f.labels = append(f.labels, l)
			}
		}
	}
	if len(f.paths) == 0 {
		return nil, fmt.Errorf(
			"data set %q: neither IDX files (%s, …) nor CIFAR's (%s, …), %s files, or sub-folders with image files",
			dir, IDXNames[Test][0], cifar10.test, tarEnding)
	}
	return f, nil
}

// isDir reports whether e is a folder or a link to one.
func isDir(dir string, e os.DirEntry) bool {
	if e.Type()&os.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

func (f *folder) Len() int                            { return len(f.paths) }
func (f *folder) Label(i int) int                     { return f.labels[i] }
func (f *folder) Classes() []string                   { return f.classes }
func (f *folder) Size() (channels, height, width int) { return 0, 0, 0 }

// Image decodes picture i.
func (f *folder) Image(i int) (image.Image, error) { return picture.DecodeFile(f.paths[i]) }

func (f *folder) nameOf(i int) string { return f.paths[i] }

// Pixels fails: the files differ in size.
func (f *folder) Pixels(dst []byte, i int) error {
	return fmt.Errorf("data set %q: its files have no common size, so they need a model's preprocessor", f.dir)
}
