package data

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// ClassKey is what two names of a class must share to be the same: Unicode has several spellings of one text (macOS
// writes é as e and an accent), which normalisation form C makes one.
func ClassKey(name string) string { return norm.NFC.String(name) }

// number is a name that is a number, without leading zeros; ok is false of any other name.
func number(name string) (digits string, ok bool) {
	if name == "" || strings.Trim(name, "0123456789") != "" {
		return "", false
	}
	digits = strings.TrimLeft(name, "0")
	return cmp.Or(digits, "0"), true
}

// NumberNames reports whether all names are numbers.
func NumberNames(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { _, ok := number(name); return !ok })
}

// sortClasses puts the names of classes into the order of their labels: numbers by their values, as timm does it, and
// then the others as text.
func sortClasses(names []string) {
	slices.SortFunc(names, func(a, b string) int {
		x, isNumber := number(a)
		y, other := number(b)
		switch {
		case isNumber && other:
			return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(a, b))
		case isNumber:
			return -1
		case other:
			return 1
		}
		return cmp.Compare(a, b)
	})
}

// roleWords are what the parts of a data set are called.
var roleWords = map[string]Split{
	"train": Train, "training": Train, "trainval": Train,
	"val": Validation, "valid": Validation, "validation": Validation, "validate": Validation, "dev": Validation,
	"test": Test, "testing": Test, "tests": Test, "eval": Test, "evaluation": Test, "holdout": Test,
}

// fillers are words of folders' and lists' names that say nothing about what is in them.
var fillers = strings.Fields("set data dataset images image imgs img pictures photos split folder " +
	"labels label annotations annotation metadata list jpeg jpegs jpg png")

// words are the words of a name, in lower case; digits, and fillers, are none.
func words(name string) []string {
	list := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) })
	for i, w := range list {
		for _, end := range []string{"set", "data", "images"} { // trainset
			if stem := strings.TrimSuffix(w, end); roleWords[stem] != "" {
				list[i] = stem
			}
		}
	}
	return slices.DeleteFunc(list, func(w string) bool { return slices.Contains(fillers, w) })
}

// roleOf tells which part a name could stand for; rest is what else it says ("seg" of seg_train), "" of a name that
// says nothing else. Whether it does stand for a part, its neighbours tell: a class may be called train, too.
func roleOf(name string) (role Split, rest string) {
	list := words(name)
	at := slices.IndexFunc(list, func(w string) bool { return roleWords[w] != "" })
	if at < 0 {
		return "", ""
	}
	role = roleWords[list[at]]
	return role, strings.Join(slices.Delete(list, at, at+1), " ")
}

// saysNothing reports whether a folder's name tells no class, as images does.
func saysNothing(name string) bool { return len(words(name)) == 0 && !NumberNames([]string{name}) }

// junk says what kind of debris a file or folder of that name is that other programs leave behind; "" if it is none.
func junk(name string) string {
	switch lower := strings.ToLower(name); {
	case strings.HasPrefix(name, "."):
		return "hidden"
	case junkName.MatchString(lower):
		return "debris of other programs"
	}
	return ""
}

// junkName is what archivers, file servers, viewers and systems leave, in lower case.
var junkName = regexp.MustCompile(`^(__macosx|@eadir|@recycle|@tmp|#recycle|#snapshot|\$recycle\.bin|recycler|` +
	`lost\+found|system volume information|__pycache__|thumbs\.db|ehthumbs\.db|desktop\.ini|icon\r)$|` +
	`@synoeastream$|@synoresource$|~$`)
