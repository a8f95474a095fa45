package data

import (
	"errors"
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
func (r *RandAugment) set(key, value string) (err error) {
	count := func(low, high int) int {
		n, bad := strconv.Atoi(value)
		if bad != nil || n < low || n > high {
			err = fmt.Errorf("want a whole number of %d to %d", low, high)
		}
		return n
	}
	number := func(high float64) float64 {
		v, bad := strconv.ParseFloat(value, 64)
		if bad != nil || !(v >= 0 && v <= high) {
			err = fmt.Errorf("want a number of 0 to %.3g", high)
		}
		return v
	}
	switch key {
	case "m":
		r.Magnitude = count(0, maxLevel)
	case "mmax":
		r.Max = count(1, maxLevel)
	case "n":
		r.Layers = count(1, maxLayers)
	case "p":
		r.Prob = number(1)
	case "mstd":
		if r.Deviation = number(math.MaxFloat64); r.Deviation > 100 {
			r.Deviation = math.Inf(1)
		}
	case "inc":
		if r.Increasing = value == "1"; !r.Increasing { // timm reads any number as yes, 0 included
			err = errors.New("want inc1, or leave it out")
		}
	default:
		err = errors.New("unknown; there are m, mstd, mmax, n, p and inc")
	}
	return err
}

// operation is one of RandAugment's.
type operation struct {
	// argument is what it is given at a share of the full level; negative mirrors those that have two directions.
	argument func(share float64, increasing, negative bool) float64
	change   func(p *canvas, arg float64)           // what it does to a picture,
	move     func(p *canvas, arg float64) affineMap // or where it moves the pixels
}

// operations are all of them, in timm's order. The greater the level, the stronger the operation if increasing; without
// it posterize and solarize weaken, and colour, contrast, brightness and sharpness go from 0.1 by 1, which changes
// nothing, to 1.9.
var operations = [...]operation{
	{upTo(0), func(p *canvas, _ float64) { p.autoContrast() }, nil},
	{upTo(0), func(p *canvas, _ float64) { p.equalize() }, nil},
	{upTo(0), func(p *canvas, _ float64) { p.invert() }, nil},
	{upTo(30), nil, func(p *canvas, v float64) affineMap { return rotation(v, p.h, p.w) }},
	{bitsKept, (*canvas).posterize, nil},
	{firstInverted, (*canvas).solarize, nil},
	{added, (*canvas).solarizeAdd, nil},
	{factor, (*canvas).saturation, nil},
	{factor, (*canvas).contrast, nil},
	{factor, (*canvas).brightness, nil},
	{factor, (*canvas).sharpness, nil},
	{upTo(0.3), nil, func(_ *canvas, v float64) affineMap { return affineMap{1, v, 0, 0, 1, 0} }}, // shear along rows
	{upTo(0.3), nil, func(_ *canvas, v float64) affineMap { return affineMap{1, 0, 0, v, 1, 0} }}, // and columns
	{upTo(0.45), nil, func(p *canvas, v float64) affineMap { return translation(v*float64(p.w), 0) }},
	{upTo(0.45), nil, func(p *canvas, v float64) affineMap { return translation(0, v*float64(p.h)) }},
}

// place is what moving operations need besides their argument.
type place struct {
	filter int    // picture.Bilinear or picture.Bicubic
	fill   []byte // colour of what comes in from outside, a byte a channel
}

// run changes the picture.
func (o *operation) run(p *canvas, arg float64, at place) {
	if o.move != nil {
		p.transform(o.move(p, arg), at.filter, at.fill)
	} else {
		o.change(p, arg)
	}
}

// upTo is an argument in either direction: degrees, a slope, a share of a side.
func upTo(full float64) func(share float64, _, negative bool) float64 {
	return func(share float64, _, negative bool) float64 {
		if negative {
			return -share * full
		}
		return share * full
	}
}

// bitsKept is 4 to 0; a level above 10 keeps no fewer.
func bitsKept(share float64, increasing, _ bool) float64 {
	bits := math.Floor(share * 4)
	if increasing {
		return max(4-bits, 0)
	}
	return bits
}

// firstInverted is the first byte that is inverted, 256 to 0.
func firstInverted(share float64, increasing, _ bool) float64 {
	threshold := min(math.Floor(share*256), 256)
	if increasing {
		return 256 - threshold
	}
	return threshold
}

// added is what is added to dark bytes, 0 to 110.
func added(share float64, _, _ bool) float64 { return min(math.Floor(share*110), 128) }

// factor is 1 ± 0.9, at least 0.1.
func factor(share float64, increasing, negative bool) float64 {
	if !increasing {
		return share*1.8 + 0.1
	}
	return max(1+upTo(0.9)(share, true, negative), 0.1)
}

// step is an operation, by its number, with its argument.
type step struct {
	op  int
	arg float64
}

// draw appends the operations that will happen to a picture to steps. How many numbers are drawn depends on r alone.
func (r RandAugment) draw(steps []step, rng *rand.Rand) []step {
	for range r.Layers {
		op := rng.IntN(len(operations))
		luck, level, negative := rng.Float64(), float64(r.Magnitude), rng.Uint64()&1 == 1
		switch {
		case math.IsInf(r.Deviation, 1):
			level *= rng.Float64()
		case r.Deviation > 0:
			level += r.Deviation * rng.NormFloat64()
		}
		if luck < r.Prob {
			level = min(max(level, 0), float64(r.Max))
			steps = append(steps, step{op, operations[op].argument(level/fullLevel, r.Increasing, negative)})
		}
	}
	return steps
}

// apply draws and runs the operations.
func (r RandAugment) apply(p *canvas, at place, rng *rand.Rand) {
	var room [maxLayers]step
	for _, s := range r.draw(room[:0], rng) {
		operations[s.op].run(p, s.arg, at)
	}
}
