package data

import (
	"bytes"
	"image"
	"image/color"
	"strings"
	"testing"

	"github.com/adavit/adavit/picture"
)

// cloth is a Dataset of one picture for each class: even stripes, which differ from column to column only.
type cloth struct{ photos }

func (cloth) Classes() []string { return []string{"flaw", "sound"} }

func newCloth() cloth {
	var c cloth
	for range 2 {
		m := image.NewNRGBA(image.Rect(0, 0, 60, 40))
		for i := range 60 * 40 {
			v := byte(90 + 20*(i%60%4))
			m.SetNRGBA(i%60, i/60, color.NRGBA{v, v + 10, v + 20, 255})
		}
		c.pictures = append(c.pictures, m)
	}
	return c
}

// TestDefects: sound pictures become pictures of the other class as often as is asked for, and differ then in ellipses
// of the size that is asked for alone, by the same noise in all channels.
func TestDefects(t *testing.T) {
	d, p := newCloth(), picture.DefaultPreprocessor(40, 60, 3)
	p.DoResize, p.DoCenterCrop = false, false
	plain := make([]byte, 3*40*60)
	if err := p.Bytes(plain, d.pictures[0], 3, 40, 60); err != nil {
		t.Fatal(err)
	}
	g := mustAugment(t, Augment{Defects: &Defects{Prob: 0.5, From: "sound", To: "flaw", Width: [2]float64{5, 5},
		Height: [2]float64{9, 9}, Contrast: [2]float64{1, 1}}}, d, p, 3, 40, 60)
	got, flaws, changed := make([]byte, len(plain)), 0, 0
	for seed := range uint64(400) {
		if label, err := g.read(got, 0, Rand(seed, 1, 1)); err != nil || label != 0 || !bytes.Equal(got, plain) {
			t.Fatalf("a picture with a flaw was changed: label %d, %v", label, err)
		}
		label, err := g.read(got, 1, Rand(seed, 1, 1))
		if err != nil {
			t.Fatal(err)
		}
		if label == 1 {
			if !bytes.Equal(got, plain) {
				t.Fatal("a sound picture was changed")
			}
			continue
		}
		flaws++
		where := image.Rectangle{}
		for k := range 40 * 60 {
			change := [3]int{}
			for c := range change {
				change[c] = int(got[c*2400+k]) - int(plain[c*2400+k])
			}
			if change != [3]int{} {
				changed++
				where = where.Union(image.Rect(k%60, k/60, k%60+1, k/60+1))
			}
			if change[0] != change[1] || change[0] != change[2] {
				t.Fatalf("pixel %d changed by %v", k, change)
			}
		}
		if where.Empty() || where.Dx() > 5 || where.Dy() > 9 {
			t.Fatalf("seed %d: changed in %v", seed, where)
		}
	}
	// An ellipse of 5×9 has 35 pixels, some of which lie outside or come out as they were.
	if flaws < 170 || flaws > 230 || changed < 25*flaws || changed > 35*flaws {
		t.Errorf("%d of 400 with defects, %d pixels each", flaws, changed/max(flaws, 1))
	}
}

// TestDefectsRefuses: a class that does not exist and numbers that make no sense are named.
func TestDefectsRefuses(t *testing.T) {
	good := Defects{Prob: 1, From: "sound", To: "flaw", Width: [2]float64{5, 5}, Height: [2]float64{9, 9},
		Contrast: [2]float64{1, 1}}
	for want, change := range map[string]func(*Defects){
		`the classes are ["flaw" "sound"]`: func(d *Defects) { d.To = "hole" },
		"two classes":                      func(d *Defects) { d.To = "sound" },
		"prob 2":                           func(d *Defects) { d.Prob = 2 },
		"count 65":                         func(d *Defects) { d.Count = 65 },
		"width [5 4]":                      func(d *Defects) { d.Width[1] = 4 },
		"height [0 9]":                     func(d *Defects) { d.Height[0] = 0 },
		"contrast [1 11]":                  func(d *Defects) { d.Contrast[1] = 11 },
	} {
		bad := good
		change(&bad)
		p := picture.DefaultPreprocessor(16, 16, 3)
		if _, err := NewAugmenter(Augment{Defects: &bad}, newCloth(), p, 3, 16, 16); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
