package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// RandAugment is a policy of RandAugment (Cubuk et al. 2020) as timm reads it: of fifteen operations Layers are drawn,
// each of which then happens with probability Prob, at a level drawn from a normal distribution about Magnitude and
// kept within 0 … Max. A level of 10 is the strongest that an operation was made for.
type RandAugment struct {
	Magnitude  int
	Deviation  float64 // of the level; +Inf draws it evenly from 0 to Magnitude
	Max        int     // largest level
	Layers     int
	Prob       float64
	Increasing bool // all operations grow stronger with the level; else some are weakest in the middle or at 10
}

// fullLevel is the level at which an operation is as strong as it was made for.
const fullLevel = 10

// What a policy may ask for: levels, and operations one after another.
const (
	maxLevel  = 30
	maxLayers = 15
)

// ParseRandAugment reads timm's notation: "rand", then parts in any order, each led by a dash:
//
//	m9        the magnitude, 0 to 30 (10 if left out)
//	mstd0.5   its deviation, 0 to 100 (0); more is an even draw from 0 to m
//	mmax20    the largest level, 1 to 30 (10)
//	n3        the number of operations drawn, 1 to 15 (2)
//	p0.7      the probability of each, 0 to 1 (0.5)
//	inc1      operations that grow stronger with the level
func ParseRandAugment(policy string) (RandAugment, error) {
	r := RandAugment{Magnitude: fullLevel, Max: fullLevel, Layers: 2, Prob: 0.5}
	parts := strings.Split(policy, "-")
	if parts[0] != "rand" {
		return RandAugment{}, fmt.Errorf(`rand_augment %q, want something like "rand-m9-mstd0.5-inc1"`, policy)
	}
	seen := map[string]bool{}
	for _, p := range parts[1:] {
		key := strings.TrimRight(p, "0123456789.")
		err := r.set(key, p[len(key):])
		if err == nil && seen[key] {
			err = fmt.Errorf("%s is there twice", key)
		}
		if err != nil {
			return RandAugment{}, fmt.Errorf("rand_augment %q: part %q: %w", policy, p, err)
		}
		seen[key] = true
	}
	return r, nil
}

// set reads one part of the notation.
func (r *RandAugment) set(key, value string) error {
	count := func(dst *int, low, high int) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < low || n > high {
			return fmt.Errorf("want a whole number of %d to %d", low, high)
		}
		*dst = n
		return nil
	}
	number := func(dst *float64, high float64) error {
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || !(v >= 0 && v <= high) {
			return fmt.Errorf("want a number of 0 to %v", high)
		}
		*dst = v
		return nil
	}
	switch key {
	case "m":
		return count(&r.Magnitude, 0, maxLevel)
	case "mmax":
		return count(&r.Max, 1, maxLevel)
	case "n":
		return count(&r.Layers, 1, maxLayers)
	case "p":
		return number(&r.Prob, 1)
	case "mstd":
		if err := number(&r.Deviation, math.MaxFloat64); err != nil {
			return fmt.Errorf("want a number of 0 or more")
		}
		if r.Deviation > 100 {
			r.Deviation = math.Inf(1)
		}
		return nil
	case "inc":
		if value != "1" { // timm reads any number as yes, 0 included
			return fmt.Errorf("want inc1, or leave it out")
		}
		r.Increasing = true
		return nil
	}
	return fmt.Errorf("unknown; there are m, mstd, mmax, n, p and inc")
}

// operation is one of RandAugment's.
type operation int

// The operations, in timm's order.
const (
	opAutoContrast operation = iota
	opEqualize
	opInvert
	opRotate
	opPosterize
	opSolarize
	opSolarizeAdd
	opColor
	opContrast
	opBrightness
	opSharpness
	opShearX
	opShearY
	opTranslateX
	opTranslateY
	operations // how many there are
)

// argument is what an operation is given at a level. negative mirrors those that have two directions. The greater the
// level, the stronger the operation if increasing; without it posterize and solarize weaken, and colour, contrast,
// brightness and sharpness go from 0.1 by 1, which changes nothing, to 1.9.
//
//	rotate            degrees, ±30 at 10      posterize   bits kept, 4 to 0
//	shear             slope, ±0.3             solarize    first byte inverted, 256 to 0
//	translate         share of a side, ±0.45  solarizeAdd added to dark bytes, 0 to 110
//	colour and so on  factor, 1 ± 0.9, at least 0.1
func (op operation) argument(level float64, increasing, negative bool) float64 {
	share := level / fullLevel
	signed := func(v float64) float64 {
		if negative {
			return -v
		}
		return v
	}
	switch op {
	case opRotate:
		return signed(share * 30)
	case opShearX, opShearY:
		return signed(share * 0.3)
	case opTranslateX, opTranslateY:
		return signed(share * 0.45)
	case opPosterize:
		if bits := math.Floor(share * 4); increasing {
			return max(4-bits, 0) // a level above 10 would keep fewer than no bits
		} else {
			return bits
		}
	case opSolarize:
		if threshold := min(math.Floor(share*256), 256); increasing {
			return 256 - threshold
		} else {
			return threshold
		}
	case opSolarizeAdd:
		return min(math.Floor(share*110), 128)
	case opColor, opContrast, opBrightness, opSharpness:
		if increasing {
			return max(1+signed(share*0.9), 0.1)
		}
		return share*1.8 + 0.1
	}
	return 0 // the others have none
}

// place is what moving operations need besides their argument.
type place struct {
	filter int    // picture.Bilinear or picture.Bicubic
	fill   []byte // colour of what comes in from outside, a byte a channel
}

// run changes the picture.
func (op operation) run(p *canvas, arg float64, at place) {
	switch op {
	case opAutoContrast:
		p.autoContrast()
	case opEqualize:
		p.equalize()
	case opInvert:
		p.invert()
	case opRotate:
		if arg != 0 {
			p.transform(rotation(arg, p.h, p.w), at.filter, at.fill)
		}
	case opPosterize:
		p.posterize(int(arg))
	case opSolarize:
		p.solarize(int(arg))
	case opSolarizeAdd:
		p.solarizeAdd(int(arg))
	case opColor:
		p.saturation(arg)
	case opContrast:
		p.contrast(arg)
	case opBrightness:
		p.brightness(arg)
	case opSharpness:
		p.sharpness(arg)
	case opShearX:
		p.transform(shearX(arg), at.filter, at.fill)
	case opShearY:
		p.transform(shearY(arg), at.filter, at.fill)
	case opTranslateX:
		p.transform(translation(arg*float64(p.w), 0), at.filter, at.fill)
	case opTranslateY:
		p.transform(translation(0, arg*float64(p.h)), at.filter, at.fill)
	}
}

// step is an operation with its argument.
type step struct {
	op  operation
	arg float64
}

// draw appends the operations that will happen to a picture to steps. How many numbers are drawn depends on r alone.
func (r RandAugment) draw(steps []step, rng *rand.Rand) []step {
	for range r.Layers {
		op := operation(rng.IntN(int(operations)))
		luck, level, negative := rng.Float64(), float64(r.Magnitude), rng.Uint64()&1 == 1
		switch {
		case math.IsInf(r.Deviation, 1):
			level *= rng.Float64()
		case r.Deviation > 0:
			level += r.Deviation * rng.NormFloat64()
		}
		if luck < r.Prob {
			level = min(max(level, 0), float64(r.Max))
			steps = append(steps, step{op, op.argument(level, r.Increasing, negative)})
		}
	}
	return steps
}

// apply draws and runs the operations.
func (r RandAugment) apply(p *canvas, at place, rng *rand.Rand) {
	var room [maxLayers]step
	for _, s := range r.draw(room[:0], rng) {
		s.op.run(p, s.arg, at)
	}
}
