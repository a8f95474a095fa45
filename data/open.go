package data

import (
	"errors"
	"fmt"
	"os"
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
