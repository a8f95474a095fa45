package data

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/adavit/adavit/picture"
)

func TestParseRandAugment(t *testing.T) {
	for policy, want := range map[string]RandAugment{
		"rand":                            {10, 0, 10, 2, 0.5, false},
		"rand-m9-mstd0.5-inc1":            {9, 0.5, 10, 2, 0.5, true},
		"rand-m7-n3-p0.25-mstd101-mmax20": {7, math.Inf(1), 20, 3, 0.25, false},
		"rand-inc1-m0":                    {0, 0, 10, 2, 0.5, true},
		"rand-mstd.5-p1-n15-m30-mmax30":   {30, 0.5, 30, 15, 1, false},
		"rand-m09-mstd0":                  {9, 0, 10, 2, 0.5, false},
	} {
		if got, err := ParseRandAugment(policy); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", policy, got, err, want)
		}
	}
	for _, bad := range []string{"", "m9", "rand-", "rand-m",
		"rand-m-9", "rand-m9.5", "rand-m31", "rand-n0", "rand-n16", "rand-p2", "rand-mstd", "rand-mstd1e3",
		"rand-inc0", "rand-inc", "rand-w0", "rand-tweights",
		"rand-m9-m8", "RAND-m9", "rand--m9", "rand-mmax0", "rand-p.", "rand-m99999999999999999999",
		"original-mstd0.5", strings.Repeat("rand-m9-", 9)} {
		if got, err := ParseRandAugment(bad); err == nil {
			t.Errorf("%q passed as %+v", bad, got)
		} else if !strings.Contains(err.Error(), "rand_augment") {
			t.Errorf("%q: the error %q does not name the field", bad, err)
		}
	}
}

func FuzzRandAugment(f *testing.F) {
	for _, s := range []string{"rand-m9-mstd0.5-inc1", "rand-n3-p0.25-mmax20",
		"rand-mstd1000", "rand-m", "rand--", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, policy string) {
		r, err := ParseRandAugment(policy)
		if err != nil {
			return
		}
		p := &canvas{pix: spots(3, 4, 5), spare: make([]byte, 60), c: 3, h: 4, w: 5}
		for i := range uint64(4) {
			r.apply(p, place{picture.Bicubic, []byte{1, 2, 3}}, Rand(1, 2, i))
		}
		if len(p.pix) != 60 || r.Layers < 1 || r.Layers > maxLayers || !(r.Prob >= 0 && r.Prob <= 1) {
			t.Errorf("%q: %+v", policy, r)
		}
	})
}

// FuzzAugmentJSON: whatever of the recipe's two objects is valid can be used.
func FuzzAugmentJSON(f *testing.F) {
	for _, s := range []string{`{"shift": 2, "flip": true, "erase_prob": 0.25, "erase_max": 0.3}`,
		`{"random_resized_crop": {}, "color_jitter": 0.4}`,
		`{"rand_augment": "rand-m9-mstd0.5-inc1", "erase_mode": "pixel", "erase_count": 3, ` +
			`"erase_prob": 1, "erase_max": 1}`,
		`{"random_resized_crop": {"scale": [0.5, 0.5], "ratio": [1, 2], "interpolation": "bilinear"}}`,
		`{"mixup": 0.8, "cutmix": 1}`, `{"random_resized_crop": null}`} {
		f.Add([]byte(s))
	}
	d := testPhotos(f)
	d.pictures = d.pictures[2:] // the small ones
	f.Fuzz(func(t *testing.T, b []byte) {
		var a Augment
		if json.Unmarshal(b, &a) == nil && a.Validate() == nil {
			dst := make([]float32, 3*6*8)
			if _, err := mustAugment(t, a, d, picture.DefaultPreprocessor(6, 8, 3),
				3, 6, 8).Load(dst, 0, Rand(1, 2, 3)); err != nil {
				t.Errorf("%s: %v", b, err)
			}
		}
		var m Mix
		if json.Unmarshal(b, &m) == nil && m.Validate() == nil {
			images, targets := make([]float32, 3*2*4*5), make([]float32, 3*2)
			m.Apply(images, []int32{0, 1, 1}, targets, 2, 0.1, 2, 4, 5, Rand(1, 2, 3))
			for _, v := range targets {
				if !(v >= 0 && v <= 1) {
					t.Errorf("%s: targets %v", b, targets)
				}
			}
		}
	})
}

// TestRandAugmentDraws: every operation equally often, half of the draws happen, levels as they should lie, both
// directions.
func TestRandAugmentDraws(t *testing.T) {
	const rounds = 20000
	r, err := ParseRandAugment("rand-m9-mstd0.5-inc1")
	if err != nil {
		t.Fatal(err)
	}
	var room [2]step
	count := map[int]int{}
	total, positive, full, sum := 0, 0, 0, 0.
	rng := Rand(1, 2, 3)
	for range rounds {
		for _, s := range r.draw(room[:0], rng) {
			total++
			count[s.op]++
			if s.op == opRotate {
				level := math.Abs(s.arg) / 3
				sum += level
				if s.arg > 0 {
					positive++
				}
				if level == 10 {
					full++
				}
			}
		}
	}
	if share := float64(total) / (2 * rounds); math.Abs(share-0.5) > 0.01 {
		t.Errorf("%v of the draws happened", share)
	}
	for op := range operations {
		if n := count[op]; math.Abs(float64(n)*15/float64(total)-1) > 0.12 { // deviation 2.7 %
			t.Errorf("%s: %d of %d", operationNames[op], n, total)
		}
	}
	turned := float64(count[opRotate])
	// Of N(9, 0.5²) 2.3 % lie above 10, where they are cut off.
	if mean := sum / turned; math.Abs(mean-9) > 0.05 || math.Abs(float64(positive)/turned-0.5) > 0.05 ||
		math.Abs(float64(full)/turned-0.023) > 0.015 {
		t.Errorf("levels: mean %v, %v positive, %v at the limit", mean, float64(positive)/turned, float64(full)/turned)
	}

	if r, err = ParseRandAugment("rand-m8-mstd200-p1-n1"); err != nil {
		t.Fatal(err)
	}
	most, mean, n := 0., 0., 0.
	for range rounds {
		if s := r.draw(room[:0], rng); len(s) != 1 {
			t.Fatalf("%d operations with probability 1", len(s))
		} else if s[0].op == opRotate {
			level := math.Abs(s[0].arg) / 3
			most, mean, n = max(most, level), mean+level, n+1
		}
	}
	if mean /= n; most > 8 || most < 7.9 || math.Abs(mean-4) > 0.25 {
		t.Errorf("levels drawn evenly from 0 to 8: mean %v, largest %v", mean, most)
	}
	p := &canvas{pix: spots(3, 9, 9), spare: make([]byte, 243), c: 3, h: 9, w: 9}
	at := place{picture.Bicubic, []byte{1, 2, 3}}
	if n := testing.AllocsPerRun(200, func() { r.apply(p, at, rng) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
