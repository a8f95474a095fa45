// Package recipes holds the training recipes that come with adavit, as JSON files that package trainer reads. A recipe
// is named by its file without the ending.
package recipes

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed *.json
var files embed.FS

// Names lists the bundled recipes in alphabetical order.
func Names() []string {
	found, err := fs.Glob(files, "*.json")
	if err != nil { // only a malformed pattern can do this
		panic(err)
	}
	for i := range found {
		found[i] = strings.TrimSuffix(found[i], ".json")
	}
	return found
}

// Read returns the file of a bundled recipe. The error for a name that is not there lists those that are.
func Read(name string) ([]byte, error) {
	b, err := files.ReadFile(name + ".json")
	if err != nil {
		return nil, fmt.Errorf("no bundled recipe is called %q (there are: %s)", name, strings.Join(Names(), ", "))
	}
	return b, nil
}
