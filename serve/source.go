package serve

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/adavit/adavit"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

// Source is a model to be served: a name for it, and where it is: a bundled name, hf:owner/name, a model's directory,
// or a directory of such whose names are numbers, its versions.
type Source struct{ Name, Path string }

// A name becomes part of a URL, of a label in metrics, and of log lines.
var modelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$`)

// ParseSource reads NAME=PATH, or a bundled name or hf: reference alone, which is its own name. An error wraps
// adavit.ErrUsage.
func ParseSource(text string) (Source, error) {
	name, path, ok := strings.Cut(text, "=")
	if !ok {
		if path = text; !strings.HasPrefix(text, "hf:") && !slices.Contains(adavit.BundledModels(), text) {
			return Source{}, usage.Errorf("model %q: say NAME=DIR; only %s and hf:owner/name are names by themselves", text,
				strings.Join(adavit.BundledModels(), ", "))
		}
	}
	if path == "" || !modelName.MatchString(name) {
		return Source{}, usage.Errorf("model %q: want NAME=DIR with a name of letters, digits and ._:@/-", text)
	}
	for _, part := range strings.Split(name, "/") {
		if slices.Contains([]string{"", ".", "..", "versions", "infer", "ready", "config", "stats"}, part) {
			return Source{}, usage.Errorf("model %q: %q has a meaning of its own in paths of the protocol; choose another "+
				"name", text, part)
		}
	}
	return Source{name, path}, nil
}

// open reads the source's models from the disk, by their versions: 1 unless the directories say otherwise.
func (s Source) open(ctx context.Context, o adavit.OpenOptions) (map[int]*vit.Model, error) {
	folders, err := s.versions(o.Log)
	if err != nil {
		return nil, err
	}
	models := map[int]*vit.Model{}
	for number, path := range folders {
		if models[number], err = adavit.OpenContext(ctx, path, o); err != nil {
			return nil, err
		}
	}
	return models, nil
}

// versions returns where each version is, and logs which folders look like one and are none.
func (s Source) versions(log *slog.Logger) (map[int]string, error) {
	one := map[int]string{1: s.Path}
	if slices.Contains(adavit.BundledModels(), s.Path) || strings.HasPrefix(s.Path, "hf:") {
		return one, nil
	}
	entries, err := os.ReadDir(s.Path)
	if err != nil {
		return nil, err
	}
	folders := map[int]string{}
	for _, e := range entries {
		if e.Name() == vit.ConfigFile {
			return one, nil
		}
		number, err := strconv.Atoi(e.Name())
		info, statErr := os.Stat(filepath.Join(s.Path, e.Name())) // links count, as mounted volumes have them
		switch {
		case err != nil || statErr != nil || !info.IsDir():
		case number > 0 && strconv.Itoa(number) == e.Name():
			folders[number] = filepath.Join(s.Path, e.Name())
		default:
			log.Warn("this folder is not served: versions are called 1, 2, …", "folder", filepath.Join(s.Path, e.Name()))
		}
	}
	if len(folders) == 0 {
		return nil, fmt.Errorf("%s holds neither %s nor folders 1, 2, … with a model each; "+
			"if it is a checkpoint, 'adavit convert' makes a model of it", s.Path, vit.ConfigFile)
	}
	return folders, nil
}
