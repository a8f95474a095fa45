package data

import (
	"slices"
	"strings"
	"testing"
)

func TestSortClasses(t *testing.T) {
	for _, c := range [][]string{
		{"0", "1", "2", "9", "10", "11"},
		{"01", "2", "003", "10"},
		{"a", "b10", "b9"},
		{"1", "2", "10", "-", "1a", "x"}, // numbers first
		{"99999999999999999999998", "99999999999999999999999"},
	} {
		got := slices.Clone(c)
		slices.Reverse(got)
		if sortClasses(got); !slices.Equal(got, c) {
			t.Errorf("%q, want %q", got, c)
		}
	}
}

func TestRoleOf(t *testing.T) {
	for _, c := range []struct {
		names, rest string
		role        Split
	}{
		{"train Train TRAINING train_set trainset train2017 train-images", "", Train},
		{"val valid Validation VAL val_images dev", "", Validation},
		{"test Testing test1 test-set", "", Test},
		{"seg_train train_seg", "seg", Train},
		{"trains contest invalid bus testament images", "", ""},
	} {
		for name := range strings.FieldsSeq(c.names) {
			if role, rest := roleOf(name); role != c.role || rest != c.rest {
				t.Errorf("%s: %q, %q; want %q, %q", name, role, rest, c.role, c.rest)
			}
		}
	}
}

func TestJunk(t *testing.T) {
	for _, name := range []string{"__MACOSX", ".DS_Store", "@eaDir", "Thumbs.db", "._1.png", "desktop.ini", "$RECYCLE.BIN",
		"lost+found", "x.jpg@SynoEAStream", "1.jpg~"} {
		if junk(name) == "" {
			t.Errorf("%s is taken for data", name)
		}
	}
	for _, name := range []string{"cat", "eadir", "thumbs", "macosx", "#1", "@home"} {
		if why := junk(name); why != "" {
			t.Errorf("%s is %s", name, why)
		}
	}
}
