package data

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/adavit/adavit/internal/filetest"
)

// TestCensus: what has changed in a data set is told, where it lies does not matter.
func TestCensus(t *testing.T) {
	const files = "{a,b}/{1,2,3}.png"
	census := func(dir string) Census {
		d, err := Open(dir, Train)
		if err != nil {
			t.Fatal(err)
		}
		return CensusOf(d)
	}
	before := census(layout(t, files))
	for _, c := range []struct {
		change func(dir string)
		want   string
	}{
		{func(string) {}, ""},
		{func(dir string) { filetest.Check(t, os.Remove(filepath.Join(dir, "a", "2.png"))) },
			"a had 3 pictures, now 2"},
		{func(dir string) { filetest.Write(t, plain(t, 9, 9, 1), dir, "b", "1.png") }, "b has other pictures"},
		{func(dir string) {
			filetest.Check(t, os.Rename(filepath.Join(dir, "b", "1.png"), filepath.Join(dir, "b", "0.png")))
		}, "b has other pictures"},
		{func(dir string) { filetest.Check(t, os.Rename(filepath.Join(dir, "b"), filepath.Join(dir, "c"))) },
			"class b is gone, class c is new"},
		{func(dir string) { filetest.Write(t, []byte("b\na\n"), dir, "classes.txt") },
			"the classes are in another order"},
	} {
		dir := layout(t, files)
		c.change(dir)
		if got := census(dir).Changes(before); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	one, other := CensusOf(labelled(t, []byte{0, 1, 0}, 2)), CensusOf(labelled(t, []byte{1, 0, 0}, 2))
	if got := other.Changes(one); got != "class 0 has other pictures, class 1 has other pictures" {
		t.Errorf("%q", got)
	}
	if got := one.Changes(one); got != "" {
		t.Errorf("%q", got)
	}
}
