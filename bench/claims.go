package main

import (
	"fmt"
	"strings"
)

// claim is one line of what this engine is asked to reach: how many times as fast as a peer.
type claim struct {
	work         string
	ours, theirs string // keys of sides
	asked        float64
	dense        bool // theirs is our own dense run, and asked is a share of what the multiply-adds promise
}

// claims are what was asked for one image at a time, ratios of medians of the same run with the same threads and
// weights.
var claims = []claim{
	{work: "dense f32", ours: "adavit f32", theirs: "ONNX Runtime f32", asked: 1.10},
	{work: "dense bf16", ours: "adavit bf16", theirs: "ONNX Runtime f32", asked: 1.6},
	{work: "dense int8", ours: "adavit int8", theirs: "ONNX Runtime int8", asked: 1.3},
	{work: "int8, tokens halting", ours: "adavit int8 pruned", theirs: "ONNX Runtime int8", asked: 2.0},
	{work: "int8, tokens halting", ours: "adavit int8 pruned", theirs: "ONNX Runtime f32", asked: 4.0},
	{work: "f32, tokens halting", ours: "adavit f32 pruned", theirs: "adavit f32", asked: 0.95, dense: true},
	{work: "int8, tokens halting", ours: "adavit int8 pruned", theirs: "adavit int8", asked: 0.88, dense: true},
}

// heldClaims are what was asked of our slower kernels beside a peer that is held to the same instructions.
var heldClaims = []claim{
	{work: "dense f32", ours: "adavit f32", theirs: "OpenVINO f32", asked: 1.15},
	{work: "dense int8", ours: "adavit int8", theirs: "OpenVINO int8", asked: 1.8},
}

// asked is what one contest was asked for.
func (c *contest) asked() []claim {
	_, held := isas[c.path]
	switch {
	case c.path == "" && c.batch == 1:
		return claims
	case held:
		return heldClaims
	}
	return nil
}

// verdict is a claim held against one contest.
type verdict struct {
	claim
	contest *contest
	missing string // the side that is not there; then all that follows is empty
	ours    *entry
	speedup span
	saving  span // dense claims: the speed-up as a share of what the multiply-adds promise
	met     bool
}

// judge returns the verdicts of a contest.
func (c *contest) judge() []verdict {
	var all []verdict
	for _, k := range c.asked() {
		ours, theirs := c.find(k.ours), c.find(k.theirs)
		switch {
		case ours == nil:
			all = append(all, verdict{claim: k, contest: c, missing: k.ours})
			continue
		case theirs == nil:
			all = append(all, verdict{claim: k, contest: c, missing: k.theirs})
			continue
		}
		v := verdict{claim: k, contest: c, ours: ours, speedup: ours.speedup(theirs)}
		v.met = v.speedup.value >= k.asked
		if k.dense {
			promise := theirs.nominal / ours.nominal
			v.saving = span{v.speedup.value / promise, v.speedup.low / promise, v.speedup.high / promise}
			v.met = v.saving.value >= k.asked
		}
		all = append(all, v)
	}
	return all
}

// whyMissing says why a side was not measured.
func (f *findings) whyMissing(c *contest, key string) string {
	if why, ok := c.missing[key]; ok {
		return why
	}
	for name, why := range f.absent {
		if strings.HasPrefix(key, name+" ") {
			return why
		}
	}
	return key + " did not run"
}

// share is how much of the peak a side of ours reaches, by the multiply-adds that it really performs.
func (c *contest) share(e *entry) float64 {
	if e.performed == 0 {
		return 0
	}
	seconds := e.milliseconds().value / 1000 / float64(c.batch)
	return 2 * e.performed / seconds / c.peak[e.precision]
}

// peakClaim is a share of the peak that one image on one thread is asked to reach.
type peakClaim struct {
	model, precision string
	asked            float64
}

var peakClaims = []peakClaim{
	{"deit-tiny", f32, 0.88}, {"deit-tiny", bf16, 0.82}, {"deit-tiny", int8Name, 0.70},
	{"deit-small", f32, 0.88}, {"deit-small", bf16, 0.88}, {"deit-small", int8Name, 0.80},
}

// heldBack says where the time of a side of ours goes that is not spent at the peak.
func (f *findings) heldBack(v verdict) string {
	var words []string
	c, e := v.contest, v.ours
	if c.threads > 1 {
		for _, one := range f.contests {
			if one.model.name != c.model.name || one.threads != 1 || one.batch != c.batch || one.path != c.path {
				continue
			}
			if same := one.find(e.key()); same != nil {
				words = append(words, fmt.Sprintf("%.2f × its own speed on one thread",
					same.milliseconds().value/e.milliseconds().value))
			}
		}
		return strings.Join(words, "; ")
	}
	if e.pruned {
		if dense := c.find(oursName + " " + e.precision); dense != nil {
			words = append(words, fmt.Sprintf("%.2f × its own dense run where multiply-adds promise %.2f",
				e.speedup(dense).value, dense.nominal/e.nominal))
		}
		return strings.Join(words, "; ")
	}
	return c.timeGoes(e)
}

// timeGoes says where the time of a dense side of ours goes; nothing where its parts were not measured.
func (c *contest) timeGoes(e *entry) string {
	for _, t := range c.parts {
		if t.precision != e.precision {
			continue
		}
		p, whole := t.median(), e.milliseconds().value
		percent := func(ms float64) float64 { return 100 * ms / whole }
		return fmt.Sprintf("products %.0f %% of the time, at %.0f %% of the peak; attention %.0f %%; GELU %.0f %%; norms "+
			"and rounding %.0f %%; all else %.0f %%", percent(p.products), 100*p.rate()/c.peak[e.precision],
			percent(p.attention), percent(p.gelu), percent(p.prepare), percent(whole-p.sum()))
	}
	return ""
}

// rate is the operations a second of the products.
func (p parts) rate() float64 { return 2 * p.macs / (p.products / 1000) }

// sum is the milliseconds of all parts.
func (p parts) sum() float64 { return p.products + p.attention + p.gelu + p.prepare }
