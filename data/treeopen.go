package data

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// findLists reads the lists of a tree whose parts have no folders of their own. Those that can be read and tell parts
// apart, by their names or by a column, make parts; else there must be but one. why says what is wrong with the
// others. Where there are class folders only Hugging Face's list counts.
func (s *treeSource) findLists(top level) (why []string, err error) {
	files := listsOf(top, level{}, len(top.folders) > 1)
	if len(files) == 0 {
		return nil, nil
	}
	var passed leftOut
	found, err := scan(top.dir, &passed)
	if err != nil {
		return nil, err
	}
	x := newPictureIndex(top.dir, found)
	var lists []*list
	left := map[*list]leftOut{}
	for _, file := range files {
		l, out, err := readList(file, x, nil)
		if err != nil {
			why = append(why, fmt.Sprintf("%s: %v", filepath.Base(file), err))
			continue
		}
		out.addAll(top.leftInLists(passed, file)...)
		l.name, left[l] = file, out
		if lists = append(lists, l); isMetadata(filepath.Base(file)) {
			break
		}
	}
	if slices.ContainsFunc(lists, func(l *list) bool { return l.role == Train }) {
		lists = slices.DeleteFunc(lists, func(l *list) bool { return l.role == "" })
	}
	taken := map[Split]*list{}
	for _, l := range lists {
		rows := map[Split][]listRow{l.role: l.rows}
		if l.parts {
			rows = map[Split][]listRow{}
			for _, r := range l.rows {
				rows[r.role] = append(rows[r.role], r)
			}
		}
		for _, split := range append([]Split{""}, splits...) {
			if rows[split] == nil {
				continue
			}
			if other := taken[split]; other != nil {
				return nil, fmt.Errorf("data set %q: both %s and %s label its pictures: which is meant?", top.dir,
					filepath.Base(other.name), filepath.Base(l.name))
			}
			taken[split] = l
			part := &treePart{dir: top.dir, rows: rows[split], list: l.name, left: left[l]}
			if left[l] = nil; split != "" {
				s.parts[split] = part
			} else {
				s.whole = part
			}
		}
	}
	if s.whole != nil && len(s.parts) > 0 { // rows of no part
		s.rest = append(s.rest, Contents{Part: "-", Folder: s.whole.list, Checked: true,
			Skipped: []Skipped{{"of no part", len(s.whole.rows), s.whole.rows[0].label}}})
		s.whole = nil
	}
	return why, nil
}

// findList is the source of the pictures that a list, which the user named, labels.
func findList(file string) (Source, error) {
	s := treeSource{dir: filepath.Dir(file), parts: map[Split]*treePart{}}
	top := level{dir: s.dir, lists: []string{filepath.Base(file)}}
	why, err := s.findLists(top)
	if err == nil && s.whole == nil && len(s.parts) == 0 {
		err = fmt.Errorf("data set %q: a file that is no list of labels: %s", file, strings.Join(why, "; "))
	}
	return s, err
}

// classes are those that the part itself has, in the order of their labels; nil of tar files.
func (p *treePart) classes() []string {
	seen := map[string]bool{}
	for _, name := range p.folders {
		seen[ClassKey(name)] = true
	}
	for _, r := range p.rows {
		seen[r.label] = true
	}
	names := slices.Collect(maps.Keys(seen))
	sortClasses(names)
	return names
}

func (s treeSource) part(split Split) *treePart {
	if len(s.parts) == 0 {
		return s.whole
	}
	return s.parts[split]
}

// Has implements Source.
func (s treeSource) Has(split Split) bool {
	return s.parts[split] != nil || len(s.parts) == 0 && split == Train
}

// Rest implements rester.
func (s treeSource) Rest() []Contents { return s.rest }

// Open implements Source.
func (s treeSource) Open(split Split) (Dataset, error) {
	p := s.part(split)
	if p == nil {
		return nil, s.lacks(split)
	}
	classes, err := readClasses(s.dir, p.dir)
	if err != nil {
		return nil, err
	}
	if p.tars != nil {
		return openShards(p.dir, p.tars, classes)
	}
	named := classes != nil
	// The labels of other parts are those of the training part: they may lack a class.
	if train := s.parts[Train]; classes == nil && train != nil && train.tars == nil {
		classes = train.classes()
	}
	if classes == nil {
		classes = p.classes()
	}
	f := &files{name: p.dir, folder: p.dir, classes: classes, left: slices.Clone(p.left), listed: named}
	label := map[string]int{}
	for i, name := range classes {
		label[ClassKey(name)] = i
	}
	if p.rows != nil {
		f.folder = p.list
		return f, f.addRows(p, label, named)
	}
	return f, f.addFolders(p, label)
}

// lacks is the error about a part that is not there.
func (s treeSource) lacks(split Split) error {
	text := fmt.Sprintf("data set %q: no %s part (a sub-folder %s)", s.dir, split,
		strings.Join(usualFolders[split], " or "))
	for _, c := range s.rest {
		if c.Part == string(split) {
			text += fmt.Sprintf("; in %s are %s", c.Folder, c.SkippedText())
		}
	}
	return fmt.Errorf("%s", text)
}

// usualFolders are the names to suggest for a part's folder.
var usualFolders = map[Split][]string{Train: {"train"}, Validation: {"val"}, Test: {"test", "val"}}

// addFolders lists the pictures below the class folders. One that is none of the classes is an error.
func (f *files) addFolders(p *treePart, label map[string]int) error {
	for _, name := range p.folders {
		l, ok := label[ClassKey(name)]
		if !ok {
			return fmt.Errorf("data set %q: the sub-folder %q is none of the %d classes "+
				"(%s names them, or else the training part): %s", p.dir, name, len(f.classes), classFile, few(f.classes))
		}
		found, err := scan(filepath.Join(p.dir, name), (*leftOut)(&f.left))
		if err != nil {
			return err
		}
		for _, picture := range found {
			f.pictures = append(f.pictures, picturePlace{path: picture.path, size: picture.size, label: l})
		}
	}
	if len(f.pictures) == 0 {
		return fmt.Errorf("data set %q: no pictures any more", p.dir)
	}
	return nil
}

// addRows takes the pictures of a list. Where a class list names the classes, a label may be the number of its line.
func (f *files) addRows(p *treePart, label map[string]int, named bool) error {
	for _, r := range p.rows {
		l, ok := label[r.label]
		if n, err := strconv.Atoi(r.label); !ok && named && err == nil && n >= 0 && n < len(f.classes) {
			l, ok = n, true
		}
		if !ok {
			return fmt.Errorf("%s: label %.60q of %s is none of the %d classes (%s names them, or else the training part): %s",
				p.list, r.label, filepath.Base(r.picture.path), len(f.classes), classFile, few(f.classes))
		}
		f.pictures = append(f.pictures, picturePlace{path: r.picture.path, size: r.picture.size, label: l})
	}
	return nil
}
