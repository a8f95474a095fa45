package data

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/regular"
)

// A list names pictures and their labels: CSV of any usual separator, lines of text, JSON, or JSON a line. All of them
// become a sheet.

// sheet is a list as rows of cells, of which the first may be headings.
type sheet struct {
	heads []string // nil: it is not known whether the first row has them
	rows  [][]string
	roles []string // what part each row is of, where the list has them apart; else nil
}

// What a list may take.
const (
	maxList  = 512 << 20 // bytes
	maxCells = 1000      // of a row
	maxCell  = 4096      // bytes
)

// notLists are files that tell about something else, or nothing.
var notLists = regexp.MustCompile(`(?i)^(` + regexp.QuoteMeta(classFile) +
	`|(read_?me|license|licence|words|wnids|class_?names|requirements|citation)\b.*|.*sample_?submission.*|` +
	`dataset_infos?\.json|data\.json|package\.json)$`)

// isList reports whether a file is called like a list of labels.
func isList(name string) bool {
	return slices.Contains([]string{".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson"},
		strings.ToLower(filepath.Ext(name))) && !notLists.MatchString(name)
}

// isMetadata reports whether a list is what Hugging Face's ImageFolder calls one.
func isMetadata(name string) bool {
	return name == "metadata.jsonl" || name == "metadata.csv"
}

// readSheet reads the list at path.
func readSheet(path string) (sheet, error) {
	b, err := regular.Read(path, maxList)
	if err != nil {
		return sheet{}, err
	}
	return parseSheet(filepath.Ext(path), b)
}

// parseSheet reads a list whose name ends so. Rows differ in length where the list's do.
func parseSheet(ending string, b []byte) (s sheet, err error) {
	if b, err = regular.Text(b); err != nil {
		return s, err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return s, errors.New("it is empty")
	}
	switch strings.ToLower(ending) {
	case ".json":
		s, err = parseJSONList(b)
	case ".jsonl", ".ndjson":
		s, err = parseJSONLines(b)
	case ".txt":
		s, err = parseLines(b)
	default:
		s, err = parseCSV(b)
	}
	for i, row := range s.rows {
		if len(row) > maxCells || slices.ContainsFunc(row, func(cell string) bool { return len(cell) > maxCell }) {
			return sheet{}, fmt.Errorf("row %d has %d cells, the limit is %d of %d bytes", i+1, len(row), maxCells, maxCell)
		}
	}
	return s, err
}

// parseCSV reads cells between commas, semicolons, tabs or bars, whichever the first line has most of.
func parseCSV(b []byte) (s sheet, err error) {
	first, _, _ := bytes.Cut(b, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(b))
	r.FieldsPerRecord, r.LazyQuotes, r.TrimLeadingSpace = -1, true, true
	for _, separator := range ",;\t|" {
		if bytes.Count(first, []byte(string(separator))) > bytes.Count(first, []byte(string(r.Comma))) {
			r.Comma = separator
		}
	}
	for {
		row, err := r.Read()
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
		s.rows = append(s.rows, row)
	}
}

// parseLines reads lines of text: cells between tabs or commas, or else a name, which may have spaces, and what stands
// behind its last space.
func parseLines(b []byte) (s sheet, err error) {
	first, _, _ := bytes.Cut(b, []byte("\n"))
	if bytes.ContainsAny(first, "\t,;") {
		return parseCSV(b)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row := []string{line}
		if at := strings.LastIndexAny(line, " "); at > 0 {
			row = []string{strings.TrimSpace(line[:at]), line[at+1:]}
		}
		s.rows = append(s.rows, row)
	}
	return s, nil
}

// parseJSONLines reads an object a line.
func parseJSONLines(b []byte) (sheet, error) {
	var list []any
	n := 0
	for line := range bytes.Lines(b) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		v, err := decodeJSON(line)
		if err != nil {
			return sheet{}, fmt.Errorf("line %d: %w", n, err)
		}
		list = append(list, v)
	}
	return listSheet(list)
}

// parseJSONList reads what other programs make of a list in JSON:
//
//	[{"file": …, "label": …}, …]   [["file", "label"], …]
//	{"file": "label", …}           {"label": ["file", …], …}
//	{"train": LIST, "val": LIST}   {"labels": LIST}, any one list with a name
func parseJSONList(b []byte) (sheet, error) {
	v, err := decodeJSON(b)
	if err != nil {
		return sheet{}, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		list, _ := v.([]any)
		return listSheet(list)
	}
	keys := slices.Sorted(maps.Keys(object))
	isRole := func(key string) bool { role, rest := roleOf(key); return role != "" && rest == "" }
	var list []any
	switch {
	case len(keys) == 0:
		return sheet{}, errors.New("it is empty")
	case !slices.ContainsFunc(keys, func(k string) bool { return !isRole(k) }): // of each part
		var all sheet
		for _, key := range keys {
			list, _ := object[key].([]any)
			s, err := listSheet(list)
			if err != nil {
				return sheet{}, fmt.Errorf("%s: %w", key, err)
			}
			if all.rows != nil && !slices.Equal(all.heads, s.heads) {
				return sheet{}, fmt.Errorf("%s has other keys than the parts before", key)
			}
			all.heads, all.rows = s.heads, append(all.rows, s.rows...)
			for range s.rows {
				all.roles = append(all.roles, key)
			}
		}
		return all, nil
	case len(keys) == 1:
		if list, ok := object[keys[0]].([]any); ok && !allText(list) {
			return listSheet(list)
		}
	}
	for _, key := range keys {
		switch v := object[key].(type) {
		case []any: // the files of a class
			if !allText(v) {
				return sheet{}, fmt.Errorf("keys %s: not a list of pictures and their classes", few(keys))
			}
			for _, name := range v {
				list = append(list, []any{name, key})
			}
		case map[string]any:
			v["file_name"] = key
			list = append(list, v)
		default:
			list = append(list, []any{key, v})
		}
	}
	return listSheet(list)
}

// allText reports whether all of a list are strings.
func allText(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool { _, ok := v.(string); return !ok })
}

func decodeJSON(b []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err = d.Decode(&v); err == nil && d.More() {
		err = errors.New("more behind the value")
	}
	return v, err
}

// listSheet is a sheet of objects, whose keys are the headings, or of arrays.
func listSheet(list []any) (s sheet, err error) {
	if len(list) == 0 {
		return s, errors.New("no list in it")
	}
	column := map[string]int{}
	for i, v := range list {
		var row []string
		switch v := v.(type) {
		case []any:
			if s.heads != nil {
				return s, fmt.Errorf("item %d is an array among objects", i+1)
			}
			for _, cell := range v {
				row = append(row, cellText(cell))
			}
		case map[string]any:
			if i > 0 && s.heads == nil {
				return s, fmt.Errorf("item %d is an object among arrays", i+1)
			}
			for _, key := range slices.Sorted(maps.Keys(v)) {
				if _, known := column[key]; !known {
					column[key] = len(s.heads)
					s.heads = append(s.heads, key)
				}
			}
			row = make([]string, len(s.heads))
			for key, cell := range v {
				row[column[key]] = cellText(cell)
			}
		default:
			return s, fmt.Errorf("item %d is neither an object nor an array", i+1)
		}
		if len(s.heads) > maxCells {
			return s, fmt.Errorf("more than %d keys", maxCells)
		}
		s.rows = append(s.rows, row)
	}
	return s, nil
}

// cellText is a value of JSON as a cell; "" of one that is no label.
func cellText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return map[bool]string{true: "true", false: "false"}[v]
	case []any:
		if len(v) == 1 {
			return cellText(v[0])
		}
	}
	return ""
}
