package data

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// A tree is a folder of pictures. Each of them lies somewhere below a folder of its class, or a list names it and its
// label. The parts lie in folders of their own, or lists or a column of one tell them apart, or nothing does.

// treeSource is a tree that was looked at.
type treeSource struct {
	dir   string
	parts map[Split]*treePart // none: all of it serves as any part
	whole *treePart
	rest  []Contents // what is no part
}

// treePart is one part of a tree.
type treePart struct {
	dir     string
	folders []string // of classes, in dir; or
	rows    []listRow
	list    string   // the file that they come from; or
	tars    []string // paths
	left    leftOut
}

// splits are the parts in their order.
var splits = []Split{Train, Validation, Test}

// findTree looks at dir. Which folder is what follows from all that stand beside each other: those with the words for
// parts are parts where no others stand beside them, or where they hold folders themselves; else, and where there is
// but one of them among others, they are classes.
func findTree(dir string) (Source, error) {
	top, err := readLevel(dir)
	if err != nil {
		return nil, err
	}
	parts, others, err := partFolders(top)
	if err != nil {
		return nil, err
	}
	if len(parts) > 0 {
		return findParts(top, parts, others)
	}
	if tars, err := findTars(dir); err != nil {
		return nil, err
	} else if tars != nil {
		return shardSource{dir, dir, tars}, nil
	}
	s := treeSource{dir: dir, parts: map[Split]*treePart{}}
	why, err := s.findLists(top)
	if err != nil || len(s.parts) > 0 || s.whole != nil {
		return s, err
	}
	if sub, ok, err := wrapped(top, nil); err != nil {
		return nil, err
	} else if ok {
		return findTree(sub)
	}
	if len(top.folders) == 0 || len(top.folders) == 1 && saysNothing(top.folders[0]) {
		if len(top.folders)+len(top.pictures) > 0 {
			return nil, noLabels(dir, top, why)
		}
		return nil, fmt.Errorf("data set %q: neither IDX files (%s, …) nor CIFAR's (%s, …), %s files, or sub-folders with "+
			"image files; %s%s", dir, IDXNames[Test][0], cifar10.files[Test][0], tarEnding, top.found(), foreignIn(dir))
	}
	s.whole = &treePart{dir: dir, folders: top.folders, left: top.leftBeside()}
	return s, nil
}

// noLabels is the error about pictures that nothing gives a class; why says what is wrong with each list.
func noLabels(dir string, top level, why []string) error {
	text := top.found()
	slices.Sort(why)
	why = slices.Compact(why)
	const most = 6
	if len(why) > most {
		why = append(why[:most], "…")
	}
	if len(why) > 0 {
		text = strings.Join(why, "; ")
	}
	return fmt.Errorf("data set %q: nothing labels its pictures: want a sub-folder for each class, or a list of file "+
		"names and labels beside them (labels.csv headed file_name,label, or metadata.jsonl); %s", dir, text)
}

// leftBeside is what is left out of a folder of class folders.
func (l level) leftBeside() leftOut {
	left := slices.Clone(l.left)
	for _, name := range l.pictures {
		left.add(whyBeside, name)
	}
	for _, name := range slices.Concat(l.lists, l.others) {
		if name != classFile && filepath.Base(name) == name {
			left.add(whyNoPicture, name)
		}
	}
	return left
}

// leftInLists is what is left out of a folder whose pictures a list labels: what a scan passed over, and what the level
// has besides the list.
func (l level) leftInLists(passed leftOut, list string) (left leftOut) {
	for _, s := range passed {
		if s.Why != whyNoPicture {
			left.addAll(s)
		}
	}
	for _, s := range l.left {
		if s.Why == whyEmpty {
			left.addAll(s)
		}
	}
	for _, name := range slices.Concat(l.lists, l.others) {
		if name != classFile && filepath.Base(name) == name && filepath.Join(l.dir, name) != list {
			left.add(whyNoPicture, name)
		}
	}
	return left
}

// partFolders tells which folders of a level are parts, none if they are classes, and which are others.
func partFolders(top level) (parts map[Split]string, others []string, err error) {
	groups := map[string]map[Split][]string{} // by what their names say besides, as seg in seg_train
	for _, name := range top.folders {
		if role, rest := roleOf(name); role != "" {
			if groups[rest] == nil {
				groups[rest] = map[Split][]string{}
			}
			groups[rest][role] = append(groups[rest][role], name)
		}
	}
	rests := slices.SortedFunc(maps.Keys(groups), func(a, b string) int {
		return cmp.Or(len(groups[b])-len(groups[a]), cmp.Compare(a, b))
	})
	if len(rests) == 0 {
		return nil, nil, nil
	}
	group := groups[rests[0]]
	parts = map[Split]string{}
	others = slices.Clone(top.folders)
	nested := false
	for role, names := range group {
		parts[role] = names[0]
		others = slices.DeleteFunc(others, func(name string) bool { return slices.Contains(names, name) })
		for _, name := range names {
			own, err := structured(filepath.Join(top.dir, name))
			if err != nil {
				return nil, nil, err
			}
			nested = nested || own
		}
	}
	alone := len(group) == 1
	if alone && (len(others) > 0 || rests[0] != "" || !nested) || len(others) > 0 && !nested {
		return nil, nil, nil
	}
	for _, role := range splits {
		if names := group[role]; len(names) > 1 {
			return nil, nil, fmt.Errorf("data set %q: both %s and %s are names for the %s part: which is meant?",
				top.dir, names[0], names[1], role)
		}
	}
	return parts, others, nil
}

// structured reports whether a folder is more than a heap of pictures: it has folders, tar files or Hugging Face's
// list.
func structured(dir string) (bool, error) {
	l, err := readLevel(dir)
	if err != nil {
		return false, err
	}
	tars, _, err := listTars(dir)
	return len(l.pictures) == 0 && len(l.folders) > 0 || tars != nil || slices.ContainsFunc(l.lists, isMetadata), err
}

// wrapped is the folder that the data really lie in, where a level has nothing but one folder that has folders itself,
// as an archive that was unpacked leaves it. A folder that is one of the known classes is no wrapping.
func wrapped(l level, known []string) (sub string, ok bool, err error) {
	if len(l.folders) != 1 || len(l.pictures) > 0 || containsClass(known, l.folders[0]) {
		return "", false, nil
	}
	sub = filepath.Join(l.dir, l.folders[0])
	ok, err = structured(sub)
	return sub, ok, err
}

// containsClass reports whether a class is called so.
func containsClass(classes []string, name string) bool {
	return slices.ContainsFunc(classes, func(c string) bool { return ClassKey(c) == ClassKey(name) })
}

// findParts reads the parts of a tree that lie in folders of their own, the training part first: its classes tell what
// the others' folders are.
func findParts(top level, folders map[Split]string, others []string) (Source, error) {
	s := treeSource{dir: top.dir, parts: map[Split]*treePart{}}
	top.folders = nil
	var known, faults []string
	for _, split := range splits {
		name, ok := folders[split]
		if !ok {
			continue
		}
		dir := filepath.Join(top.dir, name)
		part, why, err := findPart(top, dir, split, known)
		if err != nil {
			return nil, err
		}
		if part == nil {
			found, err := scan(dir, new(leftOut))
			if err != nil {
				return nil, err
			}
			c := Contents{Part: string(split), Folder: dir, Checked: true}
			if len(found) > 0 {
				c.Skipped = []Skipped{{"without a label", len(found), filepath.Base(found[0].path)}}
			}
			s.rest = append(s.rest, c)
			faults = append(faults, append(why, fmt.Sprintf("%s: %s", dir, c.SkippedText()))...)
			continue
		}
		if s.parts[split] = part; split == Train {
			known = part.classes()
		}
	}
	for _, p := range s.parts { // what serves is not left out
		top.lists = slices.DeleteFunc(top.lists, func(name string) bool { return filepath.Join(top.dir, name) == p.list })
	}
	left := top.leftBeside()
	for _, name := range others {
		left.add(whyNoClass, name)
	}
	if len(left) > 0 {
		s.rest = append(s.rest, Contents{Part: "-", Folder: top.dir, Checked: true, Skipped: left})
	}
	if len(s.parts) == 0 {
		return nil, noLabels(top.dir, top, faults)
	}
	return s, nil
}

// findPart reads a part's folder; nil if its pictures have no labels, and then what is wrong with the lists. known are
// the training part's classes, nil if they are not known.
func findPart(top level, dir string, split Split, known []string) (p *treePart, why []string, err error) {
	tars, err := findTars(dir)
	if err != nil || tars != nil {
		return &treePart{dir: dir, tars: tars}, nil, err
	}
	l, err := readLevel(dir)
	if err != nil {
		return nil, nil, err
	}
	classes := len(l.folders) > 1
	if len(l.folders) == 1 {
		only := l.folders[0]
		if classes = containsClass(known, only) || known == nil && !saysNothing(only); !classes || known == nil {
			if sub, ok, err := wrapped(l, known); err != nil {
				return nil, nil, err
			} else if ok {
				return findPart(top, sub, split, known)
			}
		}
	}
	p, why, err = l.listed(top, split, known, listsOf(l, top, classes))
	if err != nil || p != nil || !classes {
		return p, why, err
	}
	return &treePart{dir: dir, folders: l.folders, left: l.leftBeside()}, nil, nil
}

// listed reads a part whose pictures one of the files labels; nil if none does, and then what is wrong with them.
func (l level) listed(top level, split Split, known, files []string) (p *treePart, why []string, err error) {
	if len(files) == 0 {
		return nil, nil, nil
	}
	var passed leftOut
	found, err := scan(l.dir, &passed)
	if err != nil {
		return nil, nil, err
	}
	x, strict := newPictureIndex(l.dir, found), newPictureIndex(top.dir, found)
	x.role, strict.role, strict.byTail = split, split, nil
	for _, file := range files {
		index := x
		role, _ := roleOf(filepath.Base(file))
		if inTop := !strings.HasPrefix(file, l.dir+string(filepath.Separator)); inTop && role != "" && role != split {
			continue
		} else if inTop && role == "" && split != Train {
			index = strict // other parts' pictures may have the same names
		}
		list, left, err := readList(file, index, known)
		if err != nil {
			why = append(why, fmt.Sprintf("%s: %v", filepath.Base(file), err))
			continue
		}
		left.addAll(l.leftInLists(passed, file)...)
		return &treePart{dir: l.dir, rows: list.rows, list: file, left: left}, nil, nil
	}
	return nil, why, nil
}

// listsOf are the lists that may label the pictures of a part: its own, Hugging Face's first, and those beside its
// folder. Where it has class folders only Hugging Face's counts.
func listsOf(l, top level, classes bool) (files []string) {
	for _, of := range []level{l, top} {
		names := slices.Clone(of.lists)
		slices.SortStableFunc(names, func(a, b string) int { return boolCompare(isMetadata(b), isMetadata(a)) })
		for _, name := range names {
			if !classes || of.dir == l.dir && isMetadata(name) {
				files = append(files, filepath.Join(of.dir, name))
			}
		}
	}
	return files
}

// boolCompare orders false before true.
func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
