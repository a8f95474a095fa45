package data

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/adavit/adavit/picture"
)

// partNames are the sub-folders that may hold a part of a data set.
var partNames = map[Split][]string{
	Train: {"train"},
	Test:  {"test", "val", "validation"},
}

// treeSource is a folder of class sub-folders, or of tar shards, which may hold the parts in sub-folders of their own.
type treeSource struct {
	dir  string
	part map[Split]string // empty: all of it serves as either part
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
	return s
}

func (s treeSource) Has(split Split) bool {
	return s.part[split] != "" || len(s.part) == 0 && split == Train
}

func (s treeSource) Open(split Split) (Dataset, error) {
	dir := s.dir
	if len(s.part) > 0 {
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
		if classes, err = classFolders(train); err != nil {
			return nil, err
		}
	}
	return listFolder(dir, classes)
}

// classFolders lists the sub-folders of dir, in order of their names.
func classFolders(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("data set %q: %w", dir, err)
	}
	for _, e := range entries { // ReadDir sorts by name
		if !strings.HasPrefix(e.Name(), ".") && isDir(dir, e) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// listFolder lists the pictures in the class sub-folders of dir. With a class list it says the labels: a sub-folder
// that it does not name is an error, a class without a sub-folder has no picture here.
func listFolder(dir string, classes []string) (Dataset, error) {
	names, err := classFolders(dir)
	if err != nil {
		return nil, err
	}
	if classes == nil {
		classes = names
	}
	labels := make(map[string]int, len(classes))
	for i, name := range classes {
		labels[name] = i
	}
	f := &files{name: dir, classes: classes}
	for _, name := range names {
		entries, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("data set %q: %w", dir, err)
		}
		label, ok := labels[name]
		if !ok {
			return nil, fmt.Errorf("data set %q: the sub-folder %q is none of the %d classes "+
				"(%s names them, or else the folder of the training part)", dir, name, len(classes), classFile)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") && !e.IsDir() && picture.HasEnding(e.Name()) {
				f.pictures = append(f.pictures, picturePlace{path: filepath.Join(dir, name, e.Name()), label: label})
			}
		}
	}
	if len(f.pictures) == 0 {
		return nil, fmt.Errorf(
			"data set %q: neither IDX files (%s, …) nor CIFAR's (%s, …), %s files, or sub-folders with image files",
			dir, IDXNames[Test][0], cifar10.files[Test][0], tarEnding)
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
