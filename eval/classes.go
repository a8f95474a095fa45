package eval

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/adavit/adavit/data"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

// Unknown says what becomes of pictures of classes that a model does not know.
type Unknown string

// The zero value is UnknownFails.
const (
	UnknownFails    Unknown = "error"
	UnknownSkipped  Unknown = "skip"     // their pictures are left out
	UnknownPosition Unknown = "position" // where no name at all matches, the first class is the first one, and so on
)

// ParseUnknown reads one of the words.
func ParseUnknown(text string) (Unknown, error) {
	u := Unknown(text)
	if u != UnknownFails && u != UnknownSkipped && u != UnknownPosition {
		return "", usage.Errorf("unknown classes: %q, want %s, %s or %s", text, UnknownFails, UnknownSkipped, UnknownPosition)
	}
	return u, nil
}

// What the errors about classes wrap.
var (
	ErrSomeUnknown = errors.New("the model does not know all of the data's classes")
	ErrNoneKnown   = errors.New("the model knows none of the data's classes")
	ErrAsMany      = errors.New("though there are as many of both") // beside ErrNoneKnown
)

// By is what classes were matched by.
type By string

// Ways to match classes.
const (
	ByName     By = "name"
	ByNumber   By = "number"
	ByPosition By = "position"
)

// Matching says which classes of a model the classes of data are.
type Matching struct {
	Class   []int // of the model, for each of the data's; −1: none
	By      By
	Unknown []string // of the data's classes, those that are none of the model's
}

// Named are the classes of a data set.
type Named struct {
	Names  []string
	Used   []bool // which of them have pictures; nil: all
	Listed bool   // a list that was made for the data numbers them
}

// NamedOf are the classes of data sets, which all have the same ones; some may be nil.
func NamedOf(sets ...data.Dataset) Named {
	var n Named
	for _, d := range sets {
		if d == nil {
			continue
		}
		if n.Names == nil {
			n.Names, n.Used = d.Classes(), make([]bool, len(d.Classes()))
		}
		for i := range d.Len() {
			if l := d.Label(i); l >= 0 {
				n.Used[l] = true
			}
		}
		n.Listed = n.Listed || data.ContentsOf("", d).Listed
	}
	return n
}

// MatchClasses matches classes of data to those of a model by their names; those without pictures need not match. If
// some are none of the model's it is an error that wraps ErrSomeUnknown, or they are −1 with UnknownSkipped.
//
// Where no name matches, names that are numbers are the numbers of the model's classes or, where there are as many of
// them, the first is the first and so on, in the order of their values; ImageNet's WordNet ids likewise. Other names
// are taken by their position, too, if the model's classes have no names, if a class list numbers the data's, or with
// UnknownPosition; there must be as many. All else is an error that wraps ErrNoneKnown.
func MatchClasses(c vit.Config, n Named, u Unknown) (Matching, error) {
	m := Matching{Class: make([]int, len(n.Names)), By: ByName}
	same := len(n.Names) == c.Classes
	for i := 0; i < len(n.Names) && same; i++ {
		same = data.ClassKey(n.Names[i]) == data.ClassKey(c.Label(i))
	}
	first, index := labelIndex(c)
	known := 0
	for i, name := range n.Names {
		j, ok := index[classKey(name)]
		switch {
		case same:
			j = i
		case ok && first[classKey(name)] != j:
			return m, fmt.Errorf("the model's classes %d and %d are both called %q, so the name does not tell which is meant: "+
				"give them names of their own, in its config.json and as folders", first[classKey(name)], j, name)
		case !ok:
			if j = -1; n.Used == nil || n.Used[i] {
				m.Unknown = append(m.Unknown, name)
			}
		}
		if m.Class[i] = j; j >= 0 && (n.Used == nil || n.Used[i]) {
			known++
		}
	}
	switch {
	case len(m.Unknown) == 0 || u == UnknownSkipped && known > 0:
		return m, nil
	case known > 0:
		return m, fmt.Errorf("%w: %d of %d are none of its classes: %s (the data has %s; the model %s)", ErrSomeUnknown,
			len(m.Unknown), len(n.Names), enumerate(m.Unknown), enumerate(n.Names), enumerate(labels(c)))
	}
	return m.byPlace(c, n, u)
}

// byPlace matches classes of which none has the name of any of the model's.
func (m Matching) byPlace(c vit.Config, n Named, u Unknown) (Matching, error) {
	other := func(name string) bool { return !wordNet.MatchString(name) }
	numbers := data.NumberNames(n.Names) || !slices.ContainsFunc(n.Names, other)
	m.Unknown = nil
	switch {
	case len(n.Names) == c.Classes && (numbers || n.Listed || u == UnknownPosition || Nameless(c)):
		if m.By = ByPosition; numbers {
			m.By = ByNumber
		}
		for i := range m.Class {
			m.Class[i] = i
		}
		return m, nil
	case data.NumberNames(n.Names):
		m.By = ByNumber
		for i, name := range n.Names {
			number, err := strconv.Atoi(name)
			if err != nil || number >= c.Classes {
				return m, fmt.Errorf("%w: the data has %d classes, %s, the model %d, numbered from 0", ErrNoneKnown,
					len(n.Names), enumerate(n.Names), c.Classes)
			}
			m.Class[i] = number
		}
		return m, nil
	}
	err := ErrNoneKnown
	switch {
	case len(n.Names) == c.Classes:
		err = fmt.Errorf("%w, %w", ErrNoneKnown, ErrAsMany)
	case u == UnknownPosition:
		err = fmt.Errorf("%w, and by their positions there have to be as many of both", ErrNoneKnown)
	}
	return m, fmt.Errorf("%w: the data has %d classes (%s), the model %d (%s)", err, len(n.Names), enumerate(n.Names),
		c.Classes, enumerate(labels(c)))
}

// wordNet is what ImageNet's folders are called, in the order of its classes.
var wordNet = regexp.MustCompile(`^n\d{8}$`)

// classKey is what two names of a class share; numbers are the same with leading zeros or without.
func classKey(name string) string {
	name = data.ClassKey(name)
	if data.NumberNames([]string{name}) {
		return "#" + strings.TrimLeft(name, "0")
	}
	return name
}

// labelIndex finds the first and the last of a model's classes of a name.
func labelIndex(c vit.Config) (first, last map[string]int) {
	first, last = map[string]int{}, map[string]int{}
	for i := range c.Classes {
		key := classKey(c.Label(i))
		if _, ok := first[key]; !ok {
			first[key] = i
		}
		last[key] = i
	}
	return first, last
}

// labels are the names of a model's classes.
func labels(c vit.Config) []string {
	list := make([]string, c.Classes)
	for i := range list {
		list[i] = c.Label(i)
	}
	return list
}

// Nameless reports whether a model's classes have no names but their numbers.
func Nameless(c vit.Config) bool {
	for i, label := range c.Labels {
		if label != strconv.Itoa(i) && !strings.EqualFold(label, fmt.Sprintf("LABEL_%d", i)) {
			return false
		}
	}
	return true
}

// enumerate lists names, but not hundreds of them.
func enumerate(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// Match gives pictures the classes of a model, and tells log, which may be nil, what is not plain about it.
func Match(c vit.Config, d data.Dataset, u Unknown, log *slog.Logger) (data.Dataset, error) {
	m, err := MatchClasses(c, NamedOf(d), u)
	if err != nil {
		return nil, err
	}
	m.Tell(c, d.Classes(), log)
	return data.Relabel(d, m.Class, labels(c))
}

// MatchParts makes a model to be trained further and the parts of a data set have the same classes: the model's, by
// MatchClasses. Where they are matched by their places, and the model's names tell no more, it gets the data's.
func MatchParts(m *vit.Model, p data.Parts, u Unknown, log *slog.Logger) (*vit.Model, data.Parts, error) {
	c, names := m.Params.Config, p.Train.Classes()
	match, err := MatchClasses(c, NamedOf(p.Train, p.Validation, p.Test), u)
	if err != nil {
		return nil, p, err
	}
	match.Tell(c, names, log)
	if match.By != ByName && len(names) == c.Classes && (Nameless(c) || !data.NumberNames(names)) {
		params := *m.Params
		params.Config.Labels = slices.Clone(names)
		renamed := *m
		renamed.Params = &params
		return &renamed, p, nil
	}
	for _, part := range []*data.Dataset{&p.Train, &p.Validation, &p.Test} {
		if *part == nil {
			continue
		}
		if *part, err = data.Relabel(*part, match.Class, labels(c)); err != nil {
			return nil, p, err
		}
	}
	return m, p, nil
}

// Tell logs how classes of data, which have these names, were matched, where a user could think otherwise. log may be
// nil.
func (m Matching) Tell(c vit.Config, names []string, log *slog.Logger) {
	if log == nil {
		return
	}
	if len(m.Unknown) > 0 {
		log.Warn("classes that the model does not know are left out", "classes", enumerate(m.Unknown))
	}
	if m.By == ByName {
		if n := c.Classes - len(names) + len(m.Unknown); n > 0 {
			log.Info("classes of the model that the data does not have", "count", n)
		}
		return
	}
	var pairs []string
	for i, j := range m.Class {
		pairs = append(pairs, fmt.Sprintf("%s = %s", names[i], c.Label(j)))
	}
	log.Warn(fmt.Sprintf("no class of the data has the name of one of the model's; they are matched by %s", m.By),
		"classes", enumerate(pairs))
}
