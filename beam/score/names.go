package score

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/picture"
)

func init() {
	register.DoFn3x1[context.Context, string, func(string), error](&matchFn{})
	register.DoFn3x1[context.Context, string, func(string), error](&listFn{})
}

// matchFn turns patterns into the names of files.
type matchFn struct{}

// ProcessElement lists what a pattern matches. A name that is no pattern is taken as it is: whoever reads it says what
// is wrong with it.
func (*matchFn) ProcessElement(ctx context.Context, pattern string, emit func(string)) error {
	if !isPattern(pattern) {
		emit(pattern)
		return nil
	}
	files, err := open(ctx, pattern)
	if err != nil {
		return err
	}
	names, err := retry(ctx, func() ([]string, error) { return files.List(ctx, pattern) })
	if err != nil {
		return fmt.Errorf("%s: %w", pattern, err)
	}
	found := false
	for _, name := range names {
		if picture.HasEnding(name) || isTar(name) {
			emit(name)
			found = true
		}
	}
	if !found {
		return fmt.Errorf("%s: no picture and no tar file matches that pattern", pattern)
	}
	return nil
}

// maxList bounds a list file in bytes.
const maxList = 1 << 30

// listFn reads the names in list files. They are taken as they are.
type listFn struct{}

func (*listFn) ProcessElement(ctx context.Context, list string, emit func(string)) error {
	b, err := readAll(ctx, list, maxList)
	if err != nil {
		return fmt.Errorf("list of pictures: %w", err)
	}
	if err := readList(b, emit); err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	return nil
}

// readList takes a list apart: one name a line, which ends with LF or CR LF.
func readList(b []byte, emit func(string)) error {
	if bytes.IndexByte(b, 0) >= 0 {
		return errors.New("not a list of files, one a line: it has zero bytes")
	}
	b = bytes.TrimPrefix(b, []byte("\uFEFF"))
	for line := range bytes.Lines(b) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			emit(string(line))
		}
	}
	return nil
}

func isPattern(name string) bool { return strings.ContainsAny(name, "*?[") }

func isTar(name string) bool { return strings.EqualFold(path.Ext(name), ".tar") }

// checkName reports a name that no file system here has.
func checkName(name string) error {
	scheme := schemeOf(name)
	switch {
	case name == "":
		return usage.Errorf("a name is empty, want files, patterns and a folder for --output")
	case scheme != "" && scheme != "gs" && scheme != "s3":
		return usage.Errorf("%s: %s:// is not known here, want local names, gs:// or s3://", name, scheme)
	case scheme != "" && strings.Trim(name[len(scheme)+3:], "/") == "":
		return usage.Errorf("%s: names no bucket", name)
	}
	return nil
}

// schemeOf is what stands before ://, "" in a local name.
func schemeOf(name string) string {
	scheme, _, ok := strings.Cut(name, "://")
	if !ok {
		return ""
	}
	return scheme
}
