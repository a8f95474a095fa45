package data

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// errIrregular says that a path names neither a file nor a folder.
var errIrregular = errors.New("not a regular file")

// openRegular opens a file, and nothing but a file: to open a named pipe may mean to wait for ever.
func openRegular(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("%s: is a folder", path)
	} else if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, errIrregular)
	}
	return os.Open(path) // its error names the path
}

// LooksLikeImage reports whether a regular file's name ends or its content begins
// as an image's does.
func LooksLikeImage(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return err != nil && hasImageEnding(path) // whatever is wrong, reading it will say
	}
	if hasImageEnding(path) {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, magicBytes)
	n, _ := io.ReadFull(f, b) // a short file has a short beginning
	return formatOf(b[:n]) != nil
}

// hasImageEnding reports whether a file is called like an image.
func hasImageEnding(path string) bool {
	return slices.Contains(imageEndings, strings.ToLower(filepath.Ext(path)))
}
