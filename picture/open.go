package picture

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Endings are what names of picture files end in. What a file then is, its content decides.
var Endings = []string{".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff"}

// LooksLikeImage reports whether a regular file's name ends or its content begins as an image's does.
func LooksLikeImage(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return err != nil && HasEnding(path) // whatever is wrong, reading it will say
	}
	if HasEnding(path) {
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

// HasEnding reports whether a file is called like an image.
func HasEnding(path string) bool {
	return slices.Contains(Endings, strings.ToLower(filepath.Ext(path)))
}
