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
	"slices"
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

// stdin is the name of standard input.
const stdin = "-"

var errNoStdin = usage.Errorf("standard input (-) is named, but none was given")

// Resolve gives the files that f stands for: names in their order, then the list's. A directory's images come sorted by
// path; its hidden files and directories are left out, and so are files that neither end nor begin like an image. A
// name that leads to no file is reported in its place. The error is about the list or the names as a whole.
func (f Files) Resolve() ([]File, error) {
	var files []File
	for _, name := range f.Names {
		files = append(files, expand(name)...)
	}
	inputs := 0 // names that are standard input
	none := errors.New("no images given")
	if f.List == stdin && f.Stdin == nil {
		return nil, errNoStdin
	}
	if f.List != "" {
		shown, lines, err := f.readList()
		if err != nil {
			return nil, err
		}
		for _, name := range lines {
			files = append(files, walk(name)...)
		}
		if f.List == stdin {
			inputs++
		}
		none = fmt.Errorf("%s: lists no image", shown)
	}
	for _, file := range files {
		if file.Name == stdin {
			inputs++
		}
	}
	switch {
	case slices.Contains(f.Names, ""):
		return nil, usage.Errorf("the name of image %d is empty", 1+slices.Index(f.Names, ""))
	case inputs > 0 && f.Stdin == nil:
		return nil, errNoStdin
	case inputs > 1:
		return nil, usage.Errorf("standard input (-) is named more than once")
	case len(files) == 0:
		return nil, none
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
	if info, err := os.Stat(name); name == stdin || err != nil || !info.IsDir() {
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
		case !d.IsDir() && !hidden && looksLikeImage(path):
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

// readList reads the lines of the list, and says what errors call it.
func (f Files) readList() (shown string, lines []string, err error) {
	shown = f.List
	var b []byte
	if f.List == stdin {
		shown = "standard input"
		b, err = regular.ReadAll(shown, f.Stdin, maxList)
	} else {
		b, err = regular.Read(f.List, maxList)
	}
	if err != nil {
		return "", nil, fmt.Errorf("list of images: %w", err)
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return "", nil, fmt.Errorf("%s: not a list of files, one a line: it has zero bytes", shown)
	}
	for line := range bytes.Lines(bytes.TrimPrefix(b, []byte("\ufeff"))) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			lines = append(lines, string(line))
		}
	}
	return shown, lines, nil
}

// Decode reads one of the files. The error names it.
func (f Files) Decode(file File) (image.Image, error) {
	switch {
	case file.Err != nil:
		return nil, file.Err
	case file.Name == stdin:
		return f.Decoding.Image("standard input", f.Stdin)
	}
	return f.Decoding.File(file.Name)
}

// Endings are what names of picture files end in. What a file then is, its content decides.
var Endings = []string{".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff",
	".jfif", ".jpe", ".mpo", ".apng", ".pbm", ".pgm", ".ppm", ".pnm", ".pfm"}

// HasEnding reports whether a file is called like an image.
func HasEnding(path string) bool {
	return slices.Contains(Endings, strings.ToLower(filepath.Ext(path)))
}

// looksLikeImage reports whether a regular file's name ends or its content begins as an image's does.
func looksLikeImage(path string) bool {
	if HasEnding(path) {
		info, err := os.Stat(path)
		return err != nil || info.Mode().IsRegular() // whatever is wrong, reading it will say
	}
	f, _, err := regular.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, 64)     // more than formatOf wants: brands of HEIC follow behind its first bytes
	n, _ := io.ReadFull(f, b) // a short file has a short beginning
	return formatOf(b[:n]) != nil || isPictureName(foreignName(b[:n]))
}
