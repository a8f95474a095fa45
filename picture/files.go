package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/adavit/adavit/internal/regular"
	"github.com/adavit/adavit/internal/usage"
)

// Files says which picture files are read, and how.
type Files struct {
	// Names are files; directories, which stand for the images in them and below them; patterns of path/filepath.Match,
	// where no file has that very name; and "-", an image on Stdin.
	Names []string
	// List, if not "", is a file that lists more of them, one a line, "-" being Stdin. Its lines are files and
	// directories, not patterns.
	List  string
	Stdin io.Reader

	Decoding
}

// maxList bounds a list file in bytes.
const maxList = 64 << 20

// File is one file to be read, or what is wrong with a name that led to none.
type File struct {
	Name string
	Err  error // names the file itself
}

// Resolve gives the files that f stands for: names in their order, then the list's. A directory's images come sorted by
// path; its hidden files and directories are left out, and so are files that neither end nor begin like an image. A
// name that leads to no file is reported in its place. The error is about the list or the names as a whole.
func (f Files) Resolve() ([]File, error) {
	var files []File
	for _, name := range f.Names {
		files = append(files, expand(name)...)
	}
	if f.List != "" {
		lines, err := readList(f.List, f.Stdin)
		if err != nil {
			return nil, err
		}
		for _, name := range lines {
			files = append(files, walk(name)...)
		}
	}
	stdin := 0
	if f.List == "-" {
		stdin++
	}
	for _, file := range files {
		if file.Name == "-" {
			stdin++
		}
	}
	switch {
	case stdin > 1:
		return nil, usage.Errorf("standard input (-) is named more than once")
	case len(files) == 0 && f.List != "":
		return nil, fmt.Errorf("%s: lists no image", listName(f.List))
	case len(files) == 0:
		return nil, errors.New("no images given")
	}
	return files, nil
}

// expand resolves a name of the command line, which may be a pattern that the shell left alone.
func expand(name string) []File {
	if _, err := os.Lstat(name); err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.ContainsAny(name, "*?[") {
		return walk(name)
	}
	matches, err := filepath.Glob(name) // sorted within a directory
	if err != nil {
		return []File{{name, fmt.Errorf("%s: %w", name, err)}}
	}
	if len(matches) == 0 {
		return []File{{name, fmt.Errorf("%s: no file has that name or matches that pattern", name)}}
	}
	var files []File
	for _, match := range matches {
		files = append(files, walk(match)...)
	}
	return files
}

// walk gives the images in a directory, or name itself if it is none.
func walk(name string) []File {
	if info, err := os.Stat(name); name == "-" || err != nil || !info.IsDir() {
		return []File{{Name: name}}
	}
	var files []File
	// A link to a directory is followed where it was named, not where it was found: there could be no end to it.
	root := name + string(filepath.Separator)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			files = append(files, File{path, err})
			return nil
		}
		hidden := path != root && strings.HasPrefix(d.Name(), ".")
		switch {
		case d.IsDir() && hidden:
			return fs.SkipDir
		case !d.IsDir() && !hidden && LooksLikeImage(path):
			files = append(files, File{Name: path})
		}
		return nil
	})
	if err != nil {
		files = append(files, File{name, err})
	}
	if len(files) == 0 {
		return []File{{name, fmt.Errorf("%s: no images in this directory", name)}}
	}
	return files
}

// readList reads the lines of a list file.
func readList(list string, stdin io.Reader) ([]string, error) {
	var b []byte
	var err error
	if list == "-" {
		b, err = regular.ReadAll(listName(list), stdin, maxList)
	} else {
		b, err = regular.Read(list, maxList)
	}
	if err != nil {
		return nil, fmt.Errorf("list of images: %w", err)
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return nil, fmt.Errorf("%s: not a list of files, one a line: it has zero bytes", listName(list))
	}
	var lines []string
	for line := range bytes.Lines(b) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			lines = append(lines, string(line))
		}
	}
	return lines, nil
}

// listName is what errors call a list file.
func listName(list string) string {
	if list == "-" {
		return "standard input"
	}
	return list
}

// Decode reads one of the files. The error names it.
func (f Files) Decode(file File) (image.Image, error) {
	switch {
	case file.Err != nil:
		return nil, file.Err
	case file.Name == "-":
		return f.Decoding.Image("standard input", f.Stdin)
	}
	return f.Decoding.File(file.Name)
}
