package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// Census is what a data set consists of, so that it can be told whether it is still the same: names and sizes of files,
// or the pixels of pictures that are in memory.
type Census struct {
	Classes []string `json:"classes"`
	Counts  []int    `json:"counts"` // pictures of each class
	Sums    []string `json:"sums"`   // of what is known of them, in their order
}

// identified is a Dataset that can tell its pictures apart without decoding them.
type identified interface{ identify(h hash.Hash, i int) }

// CensusOf is the census of d. Of a Dataset of another package it counts the pictures alone.
func CensusOf(d Dataset) Census {
	c := Census{Classes: slices.Clone(d.Classes())}
	c.Counts, c.Sums = make([]int, len(c.Classes)), make([]string, len(c.Classes))
	sums := make([]hash.Hash, len(c.Classes))
	for i := range d.Len() {
		l := d.Label(i)
		if sums[l] == nil {
			sums[l] = sha256.New()
		}
		c.Counts[l]++
		if known, ok := d.(identified); ok {
			known.identify(sums[l], i)
		}
	}
	for l, h := range sums {
		if h != nil {
			c.Sums[l] = hex.EncodeToString(h.Sum(nil)[:8])
		}
	}
	return c
}

// Changes says how c differs from a census before, by classes that have pictures; "" if it does not.
func (c Census) Changes(before Census) string {
	var list []string
	was, is := before.index(), c.index()
	for _, name := range before.used() {
		if _, ok := is[name]; !ok {
			list = append(list, fmt.Sprintf("class %s is gone", name))
		}
	}
	for _, name := range c.used() {
		i := is[name]
		j, ok := was[name]
		switch {
		case !ok:
			list = append(list, fmt.Sprintf("class %s is new", name))
		case c.Counts[i] != before.Counts[j]:
			list = append(list, fmt.Sprintf("%s had %d pictures, now %d", name, before.Counts[j], c.Counts[i]))
		case c.Sums[i] != before.Sums[j]:
			list = append(list, fmt.Sprintf("%s has other pictures", name))
		}
	}
	if list == nil && !slices.Equal(c.used(), before.used()) {
		list = append(list, "the classes are in another order")
	}
	const most = 8
	if len(list) > most {
		list = append(list[:most], fmt.Sprintf("and %d more", len(list)-most))
	}
	return strings.Join(list, ", ")
}

// used are the classes that have pictures, in order.
func (c Census) used() (names []string) {
	for i, name := range c.Classes {
		if i < len(c.Counts) && i < len(c.Sums) && c.Counts[i] > 0 {
			names = append(names, name)
		}
	}
	return names
}

// index finds the classes that have pictures by their names.
func (c Census) index() map[string]int {
	index := map[string]int{}
	for i, name := range c.Classes {
		if i < len(c.Counts) && i < len(c.Sums) && c.Counts[i] > 0 {
			index[name] = i
		}
	}
	return index
}

func (b *block) identify(h hash.Hash, i int) {
	size := b.values()
	h.Write(b.pixels[i*size : (i+1)*size])
}

// identify knows a file by its path below the data set's folder and its size: a data set may be moved.
func (f *files) identify(h hash.Hash, i int) {
	p := &f.pictures[i]
	path := filepath.Base(p.path)
	if rel, err := filepath.Rel(f.name, p.path); err == nil && p.member == "" {
		path = filepath.ToSlash(rel)
	}
	fmt.Fprintf(h, "%q %q %d\n", path, p.member, p.size)
}

func (v view) identify(h hash.Hash, i int) {
	if known, ok := v.Dataset.(identified); ok {
		known.identify(h, v.index[i])
	} else {
		io.WriteString(h, "picture\n")
	}
}

func (t *Tolerated) identify(h hash.Hash, i int) {
	if known, ok := t.Dataset.(identified); ok {
		known.identify(h, i)
	}
}
