package vit

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// lacks adds to the error about a file that a directory does not have what there is instead: folders that are models,
// as transformers' Trainer leaves them, weights under other names, and those of other programs.
func (s source) lacks(err error) error {
	entries, readErr := fs.ReadDir(s.fsys, s.dir)
	if readErr != nil {
		return err
	}
	var models, files, foreign []string
	for _, e := range entries { // sorted by name
		name := e.Name()
		switch {
		case e.IsDir() && s.has(path.Join(name, ConfigFile)):
			models = append(models, name)
		case e.IsDir():
			if inner, err := fs.Glob(s.fsys, path.Join(s.dir, name, "*.onnx")); err == nil && len(inner) > 0 {
				files = append(files, path.Join(name, path.Base(inner[0])))
			}
		case hasEnding(name, ".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".npz", ".onnx"):
			files = append(files, name)
		case hasEnding(name, ".h5", ".msgpack", ".keras", ".gguf", ".tflite", ".pb"):
			foreign = append(foreign, name)
		}
	}
	var list []string
	if len(models) > 0 {
		list = append(list, fmt.Sprintf("models are its folders %s: name one of them", some(models)))
	}
	if len(files) > 0 {
		list = append(list, fmt.Sprintf("it has %s: convert that file by itself, or give it the usual name", some(files)))
	}
	if len(foreign) > 0 {
		list = append(list, fmt.Sprintf("it has %s, which is not read as a model's weights", some(foreign)))
	}
	for _, text := range list {
		err = fmt.Errorf("%w; %s", err, text)
	}
	return err
}

func hasEnding(name string, endings ...string) bool {
	return slices.Contains(endings, strings.ToLower(path.Ext(name)))
}
