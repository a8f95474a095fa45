package data

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// folder is a Dataset of image files, one sub-folder for each class; they are
// decoded on demand.
type folder struct {
	dir     string
	classes []string
	paths   []string
	labels  []int
}

// imageEndings are the files that a class folder's pictures are picked by. What
// a file then is, its content decides.
var imageEndings = []string{".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}

// partNames are the sub-folders that may hold a part of a data set.
var partNames = map[Split][]string{
	Train: {"train"},
	Test:  {"test", "val", "validation"},
}

// openFolder lists the folder of class sub-folders for one part.
func openFolder(dir string, split Split) (*folder, error) {
	parted := false
	for _, names := range partNames {
		for _, name := range names {
			info, err := os.Stat(filepath.Join(dir, name))
			parted = parted || err == nil && info.IsDir()
		}
	}
	if !parted {
		return listFolder(dir)
	}
	for _, name := range partNames[split] {
		sub := filepath.Join(dir, name)
		if info, err := os.Stat(sub); err == nil && info.IsDir() {
			return listFolder(sub)
		}
	}
	return nil, fmt.Errorf("data set %q: no sub-folder %s", dir, strings.Join(partNames[split], " or "))
}

func listFolder(dir string) (*folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("data set %q: %w", dir, err)
	}
	f := &folder{dir: dir}
	for _, e := range entries { // ReadDir sorts by name
		if strings.HasPrefix(e.Name(), ".") || !isDir(dir, e) {
			continue
		}
		class := filepath.Join(dir, e.Name())
		files, err := os.ReadDir(class)
		if err != nil {
			return nil, fmt.Errorf("data set %q: %w", dir, err)
		}
		label := len(f.classes)
		f.classes = append(f.classes, e.Name())
		for _, file := range files {
			if !strings.HasPrefix(file.Name(), ".") && !file.IsDir() &&
				slices.Contains(imageEndings, strings.ToLower(filepath.Ext(file.Name()))) {
				f.paths = append(f.paths, filepath.Join(class, file.Name()))
				f.labels = append(f.labels, label)
			}
		}
	}
	if len(f.paths) == 0 {
		return nil, fmt.Errorf("data set %q: neither IDX files (%s, …) nor sub-folders with image files",
			dir, idxNames[Test][0])
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
func (f *folder) Image(i int) (image.Image, error) { return DecodeImageFile(f.paths[i]) }

// Pixels fails: the files differ in size.
func (f *folder) Pixels(dst []byte, i int) error {
	return fmt.Errorf("data set %q: its files have no common size, so they need a model's preprocessor", f.dir)
}
