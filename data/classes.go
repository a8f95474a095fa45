package data

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/adavit/adavit/internal/regular"
)

// classFile is the class list's name, beside the data.
const classFile = "classes.txt"

// maxClasses bounds the labels of a data set and the lines of a class list; ImageNet-21k has 21 843.
const maxClasses = 1 << 17

// maxClassName bounds a class's name, in bytes.
const maxClassName = 1000

// readClasses reads the class list of the first of the folders that has one; nil if none has.
func readClasses(dirs ...string) ([]string, error) {
	for _, dir := range dirs {
		names, err := readClassFile(filepath.Join(dir, classFile))
		if !errors.Is(err, fs.ErrNotExist) {
			return names, err
		}
	}
	return nil, nil
}

// readClassFile reads a file that names a class a line.
func readClassFile(path string) ([]string, error) {
	b, err := regular.Read(path, 32<<20)
	if err != nil {
		return nil, fmt.Errorf("list of classes: %w", err)
	}
	names, err := parseClasses(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return names, nil
}

// parseClasses reads a class list: a name a line in UTF-8, the line's number, from 0, being the label. Space around a
// name does not count, nor do empty lines at the end; anywhere else an empty line would shift the labels, and is an
// error, as a name that comes twice is. Lines may begin with their numbers, from 0 or 1.
func parseClasses(b []byte) ([]string, error) {
	b, err := regular.Text(b)
	if err != nil {
		return nil, err
	}
	text := strings.TrimRightFunc(string(b), unicode.IsSpace)
	if text == "" {
		return nil, errors.New("no class in it, want a name a line")
	}
	if n := strings.Count(text, "\n") + 1; n > maxClasses {
		return nil, fmt.Errorf("%d lines, the limit is %d classes", n, maxClasses)
	}
	var names []string
	line := map[string]int{}
	for _, name := range withoutNumbers(strings.Split(text, "\n")) {
		name = ClassKey(strings.TrimSpace(name))
		n := len(names) + 1
		switch before := line[name]; {
		case name == "":
			return nil, fmt.Errorf("line %d is empty: the line's number is the label, so no line may be left out", n)
		case len(name) > maxClassName:
			return nil, fmt.Errorf("line %d has %d bytes, the limit for a name is %d", n, len(name), maxClassName)
		case strings.ContainsFunc(name, invisible):
			return nil, fmt.Errorf("line %d holds a control character: %q", n, name)
		case before > 0:
			return nil, fmt.Errorf("lines %d and %d both say %q: each class needs a name of its own", before, n, name)
		}
		names, line[name] = append(names, name), n
	}
	return names, nil
}

// numberedLine is a line of a list that numbers its classes, as CUB-200's does.
var numberedLine = regexp.MustCompile(`^\s*(\d+)[\s:,]+(\S.*)$`)

// withoutNumbers takes the numbers from lines that all have theirs, from 0 or 1.
func withoutNumbers(lines []string) []string {
	if len(lines) < 2 {
		return lines
	}
	names := make([]string, len(lines))
	first := ""
	for i, line := range lines {
		m := numberedLine.FindStringSubmatch(line)
		if i == 0 && m != nil {
			first = m[1]
		}
		from, err := strconv.Atoi(first)
		if m == nil || err != nil || from > 1 || m[1] != strconv.Itoa(from+i) {
			return lines
		}
		names[i] = m[2]
	}
	return withoutNumbers(names)
}

// invisible reports characters that no name may hold: control characters, and the byte order mark anywhere but at the
// file's very beginning (as in files that were joined), which nobody would see.
func invisible(r rune) bool { return unicode.IsControl(r) || r == '\uFEFF' }
