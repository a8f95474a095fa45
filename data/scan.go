package data

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/picture"
)

// Why something in a folder is no part of a data set, besides what junk says.
const (
	whyNoPicture    = "not a picture"
	whyEmpty        = "folder without a picture"
	whyLinkedFolder = "linked folder"
	whyBeside       = "in no class folder"
	whyNoClass      = "neither class nor part"
)

// foundPicture is a picture file that a scan came upon.
type foundPicture struct {
	path string
	size int64 // bytes
}

// isPicture reports whether a file is a picture: by its name, or, where that does not say, by how it begins. What a
// file with a picture's name really is shows when it is decoded; so does that a picture is of a format that is not
// read: it must not go missing without a word.
func isPicture(path string) bool {
	if picture.HasEnding(path) {
		return true
	}
	f, _, err := regular.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 64)
	n, _ := io.ReadFull(f, head) // a short file has a short beginning
	if n == 0 {
		return false
	}
	_, err = picture.Decoding{}.Open(path, head[:n])
	return !errors.Is(err, picture.ErrFormat) || errors.Is(err, picture.ErrUnread)
}

// scan lists the pictures in dir and below it, by path; what it passes over goes to left. Links are followed to files,
// not to folders: there could be no end to it. dir itself may be a link.
func scan(dir string, left *leftOut) (list []foundPicture, err error) {
	err = walk(dir, left, func(p foundPicture) error {
		list = append(list, p)
		return nil
	})
	return list, err
}

// walk calls found for each picture in dir and below it.
func walk(dir string, left *leftOut, found func(foundPicture) error) error {
	root := dir + string(filepath.Separator) // through a link
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("data set: %w", err) // names the path itself
		}
		if path == root {
			return nil
		}
		name := d.Name()
		if why := junk(name); why != "" {
			left.add(why, name)
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		info, err := os.Stat(path)
		switch {
		case err != nil && picture.HasEnding(name): // a link to nothing: reading it will say so
			return found(foundPicture{path, 0})
		case err != nil || !info.IsDir() && !info.Mode().IsRegular() || !info.IsDir() && !isPicture(path):
			left.add(whyNoPicture, name)
			return nil
		case info.IsDir():
			left.add(whyLinkedFolder, name)
			return nil
		}
		return found(foundPicture{path, info.Size()})
	})
}

// errFound ends a walk.
var errFound = errors.New("found")

// holdsPicture reports whether there is a picture anywhere in dir.
func holdsPicture(dir string) (bool, error) {
	err := walk(dir, new(leftOut), func(foundPicture) error { return errFound })
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

// level is what lies directly in a folder.
type level struct {
	dir      string
	folders  []string // that hold pictures or tar files, in order of their names
	pictures []string
	lists    []string // files that may hold labels
	others   []string // other files
	left     leftOut  // junk and empty folders
}

// readLevel lists dir.
func readLevel(dir string) (level, error) {
	l := level{dir: dir}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return l, fmt.Errorf("data set %q: %w", dir, err)
	}
	for _, e := range entries { // ReadDir sorts by name
		name, path := e.Name(), filepath.Join(dir, e.Name())
		why := junk(name)
		switch {
		case why != "":
			l.left.add(why, name)
		case e.Type()&os.ModeSymlink != 0 && encloses(path, dir):
			l.left.add(whyLinkedFolder, name)
		case isDir(dir, e):
			holds, err := holdsPicture(path)
			if err == nil && !holds {
				var tars []string
				tars, _, err = listTars(path)
				holds = tars != nil
			}
			if err != nil {
				return l, err
			}
			if holds {
				l.folders = append(l.folders, name)
				continue
			}
			l.left.add(whyEmpty, name)
			lists, err := listsIn(path)
			if err != nil {
				return l, err
			}
			for _, list := range lists {
				l.lists = append(l.lists, filepath.Join(name, list))
			}
		case isList(name):
			l.lists = append(l.lists, name)
		case isPicture(path):
			l.pictures = append(l.pictures, name)
		default:
			l.others = append(l.others, name)
		}
	}
	return l, nil
}

// listsIn are the lists in a folder without pictures, unless there are as many as there are pictures elsewhere.
func listsIn(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("data set %q: %w", dir, err)
	}
	for _, e := range entries {
		if junk(e.Name()) == "" && !isDir(dir, e) && isList(e.Name()) {
			names = append(names, e.Name())
		}
	}
	const most = 20
	if len(names) > most {
		return nil, nil
	}
	return names, nil
}

// encloses reports whether a link leads to the folder that it lies in, or to one around that.
func encloses(link, dir string) bool {
	to, err := filepath.EvalSymlinks(link)
	if err == nil {
		to, err = filepath.Abs(to)
	}
	if err != nil {
		return false
	}
	if dir, err = filepath.EvalSymlinks(dir); err == nil {
		dir, err = filepath.Abs(dir)
	}
	rel, relErr := filepath.Rel(to, dir)
	return err == nil && relErr == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// isDir reports whether e is a folder or a link to one.
func isDir(dir string, e os.DirEntry) bool {
	if e.Type()&os.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}

// found says what lies in a folder that is no data set, for an error.
func (l level) found() string {
	var list []string
	add := func(what string, names []string) {
		if len(names) > 0 {
			list = append(list, fmt.Sprintf("%d %s (%s)", len(names), what, few(names)))
		}
	}
	add("folders of pictures", l.folders)
	add("pictures", l.pictures)
	add("lists", l.lists)
	add("other files", l.others)
	for _, s := range l.left {
		list = append(list, s.String())
	}
	if list == nil {
		return "it is empty"
	}
	return "found are " + strings.Join(list, ", ")
}

// few names the first of many.
func few(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s, …", strings.Join(names[:most], ", "))
	}
	return strings.Join(names, ", ")
}
