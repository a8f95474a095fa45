package data

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// splitHead is the heading of a column that tells the parts apart.
const splitHead = "split"

// Headings as lists usually have them, in lower case and without what is no letter; the first of those that a list has
// is meant.
var (
	fileHeads = []string{"filename", "file", "filepath", "path", "imagepath", "image", "imagename", "imagefile", "img",
		"imageid", "id", "name"}
	labelHeads = []string{"label", "labels", "class", "classname", "labelname", "category", "categoryname", "target",
		"classid", "labelid", "categoryid", "species", "breed", "diagnosis", "dx", "y"}
	splitHeads = []string{splitHead, "subset", "partition", "dataset", "set"}
	otherHeads = regexp.MustCompile(
		`^(text|caption|captions|prompt|description|url|link|bbox|objects?|width|height|size|date|author|license|source|` +
			`conversations?|mask|segmentation|annotations?|md5|hash|sha\d*|ids?|[xywh](min|max)?)$`)
)

// headKey is a heading as the lists above have it.
func headKey(head string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" _-.", r) {
			return -1
		}
		return r
	}, strings.ToLower(head))
}

// list is a list of labels that pictures are found by.
type list struct {
	name   string // of its file
	column string // where the labels are, for messages
	rows   []listRow
	role   Split // of all rows; "" where it does not say
	parts  bool  // rows say which part they are of
}

// listRow is a labelled picture.
type listRow struct {
	picture foundPicture
	label   string
	role    Split
}

// pictureIndex finds pictures by what a list may call them.
type pictureIndex struct {
	found  []foundPicture
	byPath map[string]int // below the folder, with the file's ending or without
	byTail map[string]int // ends of such paths; nil: only whole ones count
	role   Split          // of all pictures; a path into another part's folder is none of them
}

// What stands for the index of a picture that cannot be told.
const (
	noPicture       = -1
	severalPictures = -1 // have the name
	otherPart       = -2 // has the path
)

func newPictureIndex(dir string, found []foundPicture) *pictureIndex {
	x := &pictureIndex{found: found, byPath: map[string]int{}, byTail: map[string]int{}}
	put := func(to map[string]int, key string, i int) {
		for _, key := range []string{key, strings.TrimSuffix(key, path.Ext(key))} {
			if old, ok := to[key]; ok && old != i {
				i = severalPictures
			}
			to[key] = i
		}
	}
	for i, p := range found {
		if rel, err := filepath.Rel(dir, p.path); err == nil {
			rel = ClassKey(filepath.ToSlash(rel))
			put(x.byPath, rel, i)
			for more := true; more; {
				if _, rel, more = strings.Cut(rel, "/"); more {
					put(x.byTail, rel, i)
				}
			}
		}
	}
	return x
}

// find is the picture that a list in some folder above calls so; noPicture if there is none, otherPart if the path
// leads into another part's folder. A path's beginning may be one of another machine.
func (x *pictureIndex) find(name string) int {
	name = path.Clean(strings.ReplaceAll(ClassKey(name), `\`, "/"))
	for {
		if i, ok := x.byPath[name]; ok {
			return i
		}
		if i, ok := x.byTail[name]; ok {
			return i
		}
		first, rest, more := strings.Cut(name, "/")
		if !more {
			return noPicture
		}
		if role, more := roleOf(first); role != "" && more == "" && x.role != "" && role != x.role {
			return otherPart
		}
		name = rest
	}
}

// readList reads a list and finds its pictures; known are classes that its labels may be of, nil if none are known.
// The error says why it is no list of labels.
func readList(file string, x *pictureIndex, known []string) (l *list, left leftOut, err error) {
	s, err := readSheet(file)
	if err != nil {
		return nil, nil, err
	}
	return s.labelled(file, x, known)
}

// labelled is readList for what is in the file.
func (s sheet) labelled(file string, x *pictureIndex, known []string) (l *list, left leftOut, err error) {
	at, err := s.fileColumn(x)
	if err != nil {
		return nil, nil, err
	}
	first := s.rows[0]
	headed := s.heads == nil && s.roles == nil && len(s.rows) > 1 && (at >= len(first) || x.find(first[at]) < 0)
	if headed {
		s.heads, s.rows = first, s.rows[1:]
	}
	label, err := s.labelColumn(at, known)
	if err != nil {
		return nil, nil, err
	}
	l = &list{name: filepath.Base(file), column: label.name}
	l.role, _ = roleOf(l.name)
	split, yes := s.headed(splitHeads), s.roleColumns()
	labels := map[int]string{}
	for n, row := range s.rows {
		if at >= len(row) {
			continue
		}
		r := listRow{label: ClassKey(label.of(row))}
		i := x.find(row[at])
		switch before, twice := labels[i]; {
		case i == otherPart:
			continue
		case i < 0:
			left.add("listed but not there", row[at])
			continue
		case twice && before != r.label:
			return nil, nil, fmt.Errorf("%s has two labels, %s and %s", row[at], before, r.label)
		case twice:
			continue
		}
		labels[i], r.picture = r.label, x.found[i]
		if r.label == "" {
			left.add("without a label", row[at])
			continue
		}
		if s.roles != nil {
			r.role, _ = roleOf(s.roles[n])
		} else if split >= 0 && split < len(row) {
			r.role, _ = roleOf(row[split])
		} else if split < 0 && len(yes) > 0 {
			r.role = roleOfRow(yes, row)
		}
		l.parts = l.parts || r.role != ""
		l.rows = append(l.rows, r)
	}
	if len(l.rows) == 0 {
		return nil, nil, fmt.Errorf("column %s labels none of the pictures", label.name)
	}
	for i, p := range x.found {
		if _, listed := labels[i]; !listed {
			left.add("not in "+l.name, filepath.Base(p.path))
		}
	}
	slices.SortStableFunc(l.rows, func(a, b listRow) int { return cmp.Compare(a.picture.path, b.picture.path) })
	return l, left, nil
}

// fileColumn is the column that names most pictures.
func (s sheet) fileColumn(x *pictureIndex) (int, error) {
	named := map[int]map[int]bool{} // pictures, by column
	for _, row := range s.rows {
		for c, cell := range row {
			if i := x.find(cell); i >= 0 {
				if named[c] == nil {
					named[c] = map[int]bool{}
				}
				named[c][i] = true
			}
		}
	}
	best := -1
	usual := s.headed(fileHeads)
	for c := range named {
		if best < 0 || len(named[c]) > len(named[best]) ||
			len(named[c]) == len(named[best]) && (c == usual || best != usual && c < best) {
			best = c
		}
	}
	if best < 0 {
		what := "it"
		if len(s.rows) > 0 {
			what = fmt.Sprintf("it (%s)", few(slices.Concat(s.heads, s.rows[0])))
		}
		return -1, fmt.Errorf("%s names none of the pictures", what)
	}
	return best, nil
}

// headed is the column with the first of some headings; −1 if there is none.
func (s sheet) headed(names []string) int {
	for _, name := range names {
		for c, head := range s.heads {
			if headKey(head) == name {
				return c
			}
		}
	}
	return -1
}

// labelCells says where a row's label is: in a column, or as the heading of the one column that is 1.
type labelCells struct {
	name   string
	column int
	plain  func(cell string) string // what a cell of the column is as a label
	heads  []string                 // of each column; nil unless it is a heading
}

func (l labelCells) of(row []string) string {
	if l.heads == nil {
		if l.column < len(row) {
			return l.plain(row[l.column])
		}
		return ""
	}
	label := ""
	for c, cell := range row {
		if c < len(l.heads) && l.heads[c] != "" && isOne(cell) {
			if label != "" {
				return ""
			}
			label = l.heads[c]
		}
	}
	return label
}

func isOne(cell string) bool { return cell == "1" || cell == "1.0" || strings.EqualFold(cell, "true") }
func isZero(cell string) bool {
	return cell == "0" || cell == "0.0" || strings.EqualFold(cell, "false")
}
