package infer

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/kernels"
	"github.com/adavit/adavit/vit"
)

// TestPrecisions: on random dense models reduced precisions give logits close to float32's, in direction and in size,
// and closer in bf16.
func TestPrecisions(t *testing.T) {
	onEveryPath(t, func(t *testing.T) {
		for _, patch := range []int{4, 12} { // of the larger the embedding is rounded, too
			c := vit.Config{Embed: 96, Heads: 3, Layers: 4, Hidden: 200,
				Height: 24, Width: 24, Patch: patch, Channels: 1, Classes: 50, Eps: 1e-6, Halting: halting.Dense()}
			p := makeModel(c, 7, gatesDense)
			images := drawImages(c, 4, 8)
			exact := run(t, p, options{}, images).Logits
			for precision, limit := range map[Precision]float64{BF16: 0.02, Int8: 0.05} {
				got := run(t, p, options{Precision: precision}, images).Logits
				var difference, size float64
				for i, v := range exact {
					difference += math.Pow(float64(got[i]-v), 2)
					size += math.Pow(float64(v), 2)
				}
				if e := math.Sqrt(difference / size); !(e <= limit) || e == 0 {
					t.Errorf("patch %d, %s: logits are off by %v of their size, want at most %v, and not nothing",
						patch, precision, e, limit)
				}
			}
		}
	})
}

// TestGateIsExact: a gate differs only by what the rounded products of attention and the MLP feed it. With those
// switched off it is float32's in every precision, but for the order of sums.
func TestGateIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawModel(t)
		scheme := rapid.SampledFrom([]string{"token", "act", "sact", "ponder"}).Draw(t, "gated scheme")
		p.Config.Halting = drawConstants(t, scheme, 1)
		if p.Config.Halting.Exit() > 0 {
			p.Config.Halting = p.Config.Halting.With("exit", 0.0) // goes by the class scores
		}
		for l := range p.Blocks { // nothing but biases reaches the tokens
			clear(p.Blocks[l].ProjWeight)
			clear(p.Blocks[l].FC2Weight)
		}
		images := drawImages(p.Config, 2, rapid.Uint64().Draw(t, "pixels"))
		exact := run(t, p, options{Full: true}, images).Trace.Score[:2*p.Config.Tokens()] // of block 1
		for _, precision := range []Precision{BF16, Int8} {
			for i, v := range run(t, p, options{Full: true, Precision: precision}, images).Trace.Score[:len(exact)] {
				if by := math.Abs(float64(v - exact[i])); !(by <= 1e-5) {
					t.Fatalf("%s: score %d is %v, want %v", precision, i, v, exact[i])
				}
			}
		}
	})
}

// TestPrecisionRefusesNaN: rounding would turn a pixel that is no number into one.
func TestPrecisionRefusesNaN(t *testing.T) {
	p := makeModel(smallConfig(3), 5, gatesMixed)
	for _, precision := range []Precision{BF16, Int8} {
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
			images := drawImages(p.Config, 3, 6)
			images[len(images)/3+5] = bad
			e := newEngine(t, p, options{Precision: precision})
			defer e.Close()
			err := e.Run(background, Batch{Images: images}, &Output{})
			if err == nil || !strings.Contains(err.Error(), "image 1 holds") {
				t.Errorf("%s, %v: error %v", precision, bad, err)
			}
		}
	}
}

// TestResolve: Auto is what the card names, else the fastest precision that costs a tenth of a point at most.
func TestResolve(t *testing.T) {
	costly := &vit.Model{PrecisionLoss: map[string]float64{"bf16": 0.09, "int8": 0.2}}
	cheap := &vit.Model{PrecisionLoss: map[string]float64{"bf16": 0, "int8": -0.02}}
	named := &vit.Model{Precision: "bf16", PrecisionLoss: cheap.PrecisionLoss}
	onEveryPath(t, func(t *testing.T) {
		reduced := func(p Precision) Precision { // plain Go gains nothing from it
			if kernels.Path() == "portable" {
				return F32
			}
			return p
		}
		for _, v := range []struct {
			precision Precision
			model     *vit.Model
			want      Precision
		}{
			{Auto, nil, F32}, {"auto", nil, F32}, {Auto, &vit.Model{}, F32}, {F32, cheap, F32}, {Int8, costly, Int8},
			{BF16, nil, BF16}, {Auto, costly, reduced(BF16)}, {Auto, cheap, reduced(Int8)}, {Auto, named, BF16},
		} {
			if got, err := Resolve(v.precision, v.model); got != v.want || err != nil {
				t.Errorf("%q: %q, %v; want %q", v.precision, got, err, v.want)
			}
		}
	})
	for want, m := range map[string]*vit.Model{`"f8" is not known`: nil, vit.CardFile: {Precision: "f8"}} {
		p := Auto
		if m == nil {
			p = "f8"
		}
		if _, err := Resolve(p, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}
