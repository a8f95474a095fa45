package data

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/adavit/adavit/picture"
)

// TestMixAsTimm runs timm's batches, with its shares and places put in for what is drawn.
func TestMixAsTimm(t *testing.T) {
	cases := readCases(t)
	const c, h, w = 2, 5, 6
	b := cases.Batch
	for _, m := range cases.Mix {
		images, targets := slices.Clone(b.Images), make([]float32, len(m.Targets))
		own := m.Share
		if m.CutMix {
			ratio := math.Sqrt(1 - m.Share)
			box := boxAt(m.Centre[0], m.Centre[1], int(h*ratio), int(w*ratio), h, w)
			swapBoxes(images, len(b.Labels), c, h, w, box)
			own = 1 - float64(box.Height*box.Width)/(h*w)
		} else {
			blendPairs(images, len(b.Labels), m.Share)
		}
		mixTargets(targets, b.Labels, b.Classes, own, m.Smoothing)
		for i, v := range images {
			if v != m.Images[i] {
				t.Errorf("cutmix %v, share %v: value %d is %v, timm has %v", m.CutMix, m.Share, i, v, m.Images[i])
				break
			}
		}
		for i, v := range targets {
			if math.Abs(float64(v-m.Targets[i])) > 1e-6 {
				t.Errorf("cutmix %v, share %v: target %d is %v, timm has %v", m.CutMix, m.Share, i, v, m.Targets[i])
			}
		}
	}
}

// TestMixByHand: three pictures of one row, of which the middle one is its own opposite.
func TestMixByHand(t *testing.T) {
	labels := []int32{0, 1, 2}
	images := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	blendPairs(images, 3, 0.75)
	if want := []float32{3, 4, 5, 6, 5, 6, 7, 8, 7, 8, 9, 10}; !slices.Equal(images, want) {
		t.Errorf("mixup: %v, want %v", images, want)
	}
	images = []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	// √(1 − 0.75) of the width of four is two pixels; the height of one would be none, so two rows of two.
	swapBoxes(images, 3, 1, 2, 2, boxAt(1, 1, 2, 2, 2, 2))
	if want := []float32{9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4}; !slices.Equal(images, want) {
		t.Errorf("cutmix: %v, want %v", images, want)
	}
	targets := make([]float32, 12)
	mixTargets(targets, labels, 4, 0.75, 0.2) // 0.05 each; 0.75·0.8 and 0.25·0.8 on top
	want := []float32{0.65, 0.05, 0.25, 0.05, 0.05, 0.85, 0.05, 0.05, 0.25, 0.05, 0.65, 0.05}
	for i, v := range targets {
		if math.Abs(float64(v-want[i])) > 1e-6 {
			t.Fatalf("targets %v, want %v", targets, want)
		}
	}
	// A rectangle about a corner keeps a quarter, and one of an odd side is made even.
	if got := boxAt(0, 5, 5, 4, 5, 6); got != (picture.Part{Top: 0, Left: 3, Height: 2, Width: 3}) {
		t.Errorf("box %+v", got)
	}
}

// TestMixDraws: how often, which, and how much.
func TestMixDraws(t *testing.T) {
	const rounds = 5000
	for _, c := range []struct {
		m                 Mix
		plain, cut, share float64 // of batches, of the mixed ones, mean of λ
	}{
		{Mix{}, 1, 0, 1},
		{Mix{Mixup: 0.8, Prob: 1}, 0, 0, 0.5},
		{Mix{CutMix: 1, Prob: 1, SwitchProb: 0.5}, 0, 1, 0.5},
		{Mix{Mixup: 0.8, CutMix: 1, Prob: 1, SwitchProb: 0.3}, 0, 0.3, 0.5},
		{Mix{Mixup: 0.2, CutMix: 1, Prob: 0.6, SwitchProb: 0.5}, 0.4, 0.5, 0.5},
		{Mix{Mixup: 0.2, Prob: 0.6, SwitchProb: 0}, 0.4, 0, 0.5},
	} {
		plain, cuts, sum := 0., 0., 0.
		for i := range rounds {
			cut, share := c.m.draw(Rand(3, 4, uint64(i)))
			if !(share >= 0 && share <= 1) {
				t.Fatalf("%+v: a share of %v", c.m, share)
			}
			if share == 1 {
				plain++
				continue
			}
			sum += share
			if cut {
				cuts++
			}
		}
		mixed := rounds - plain
		if math.Abs(plain/rounds-c.plain) > 0.025 ||
			mixed > 0 && (math.Abs(cuts/mixed-c.cut) > 0.025 || math.Abs(sum/mixed-c.share) > 0.025) {
			t.Errorf("%+v: %v left, %v cut, mean share %v", c.m, plain/rounds, cuts/mixed, sum/mixed)
		}
	}
}

// TestBeta: Beta(α, α) has mean ½ and variance 1/(4(2α + 1)).
func TestBeta(t *testing.T) {
	for _, alpha := range []float64{minAlpha, 0.2, 0.8, 1, 1.5, 4, 100, maxAlpha} {
		const rounds = 20000
		mean, square := 0., 0.
		rng := Rand(1, 2, 3)
		for range rounds {
			v := beta(alpha, rng)
			if !(v >= 0 && v <= 1) {
				t.Fatalf("Beta(%v) gave %v", alpha, v)
			}
			mean, square = mean+v/rounds, square+v*v/rounds
		}
		variance, want := square-mean*mean, 1/(4*(2*alpha+1))
		if deviation := math.Sqrt(want / rounds); math.Abs(mean-0.5) > 4*deviation || math.Abs(variance/want-1) > 0.05 {
			t.Errorf("Beta(%v): mean %v, variance %v, want ½ and %v", alpha, mean, variance, want)
		}
	}
}

// TestMixApply: targets always sum to 1, cutmix's share is what really stays, and the same stream does the same.
func TestMixApply(t *testing.T) {
	const batch, channels, h, w, classes, rounds = 6, 3, 7, 9, 5, 400
	labels := []int32{0, 1, 2, 3, 4, 0}
	for _, m := range []Mix{{}, {Mixup: 0.8, Prob: 1}, {CutMix: 1, Prob: 1},
		{Mixup: 0.8, CutMix: 1, Prob: 0.9, SwitchProb: 0.5}} {
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		for i := range rounds {
			images := make([]float32, batch*channels*h*w)
			for k := range images {
				images[k] = float32(k / (channels * h * w)) // picture i is all i
			}
			again := slices.Clone(images)
			targets, more := make([]float32, batch*classes), make([]float32, batch*classes)
			m.Apply(images, labels, targets, classes, 0.1, channels, h, w, Rand(1, 2, uint64(i)))
			m.Apply(again, labels, more, classes, 0.1, channels, h, w, Rand(1, 2, uint64(i)))
			if !slices.Equal(images, again) || !slices.Equal(targets, more) {
				t.Fatal("one stream did two things")
			}
			for b := range batch {
				sum := float32(0)
				for _, v := range targets[b*classes:][:classes] {
					sum += v
				}
				if math.Abs(float64(sum-1)) > 1e-5 {
					t.Fatalf("%+v: targets of picture %d sum to %v", m, b, sum)
				}
				if labels[b] == labels[batch-1-b] {
					continue
				}
				// The mean of the picture tells how much of it stayed.
				mean := 0.
				for _, v := range images[b*channels*h*w:][:channels*h*w] {
					mean += float64(v) / (channels * h * w)
				}
				other := float64(batch - 1 - b)
				own := (mean - other) / (float64(b) - other)
				if got, want := float64(targets[b*classes+int(labels[b])]), 0.02+0.9*own; math.Abs(got-want) > 1e-4 {
					t.Fatalf("%+v: picture %d keeps %v, its target is %v, want %v", m, b, own, got, want)
				}
			}
		}
	}
}

func TestMixJSON(t *testing.T) {
	for text, want := range map[string]Mix{
		`{}`:             {Prob: 1, SwitchProb: 0.5},
		`{"mixup": 0.8}`: {Mixup: 0.8, Prob: 1, SwitchProb: 0.5},
		`{"cutmix": 1, "prob": 0.5, "switch_prob": 0, "off_epoch": 9}`: {CutMix: 1, Prob: 0.5, OffEpoch: 9},
	} {
		var got Mix
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want || got.Validate() != nil {
			t.Errorf("%s: %+v, %v, %v", text, got, err, got.Validate())
		}
	}
	for _, text := range []string{`{"mix": 1}`, `{"mixup": "a"}`, `[]`, `3`} {
		var got Mix
		if json.Unmarshal([]byte(text), &got) == nil {
			t.Errorf("%s passed", text)
		}
	}
	for _, bad := range []Mix{{Mixup: -1, Prob: 1}, {Mixup: 1e-9, Prob: 1},
		{CutMix: math.NaN(), Prob: 1}, {Mixup: 1e9, Prob: 1},
		{Mixup: 1}, {CutMix: 1, Prob: 1.5}, {Prob: 1, SwitchProb: 2}, {OffEpoch: -1}} {
		if bad.Validate() == nil {
			t.Errorf("%+v passed", bad)
		}
	}
	m := Mix{Mixup: 1, Prob: 1, OffEpoch: 3}
	if (Mix{Prob: 1}).Enabled(0) || !m.Enabled(2) || m.Enabled(3) || !(Mix{CutMix: 1, Prob: 1}).Enabled(1e6) {
		t.Error("wrong epochs are mixed")
	}
}
