// Package models holds the trained models that come with adavit, one directory each in the layout that package vit
// reads. Beside each model lie the command, the seed and the log of the run that made it.
package models

import (
	"embed"
	"io/fs"
	"path"
)

// FS holds a directory for each bundled model, under the model's name.
//
//go:embed fashion-dense fashion-adaptive textile-adaptive
var FS embed.FS

// Names lists the bundled models in alphabetical order.
func Names() []string {
	found, err := fs.Glob(FS, "*/config.json")
	if err != nil { // only a malformed pattern can do this
		panic(err)
	}
	for i := range found {
		found[i] = path.Dir(found[i])
	}
	return found
}
