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

// claims are what was asked for, ratios of medians of the same run with the same threads and weights.
var claims = []claim{
	{work: "dense f32", ours: "adavit f32", theirs: "ONNX Runtime f32", asked: 1.10},
	{work: "dense bf16", ours: "adavit bf16", theirs: "ONNX Runtime f32", asked: 1.6},
	{work: "dense int8", ours: "adavit int8", theirs: "ONNX Runtime int8", asked: 1.3},
	{work: "int8, tokens halting", ours: "adavit int8 pruned", theirs: "ONNX Runtime int8", asked: 2.0},
	{work: "int8, tokens halting", ours: "adavit int8 pruned", theirs: "ONNX Runtime f32", asked: 4.0},
	{work: "f32, tokens halting", ours: "adavit f32 pruned", theirs: "adavit f32", asked: 0.95, dense: true},
	{work: "int8, tokens halting", ours: "adavit int8 pruned", theirs: "adavit int8", asked: 0.88, dense: true},
}

// verdict is a claim held against one contest.
type verdict struct {
	claim
	contest *contest
	ours    *entry
	speedup span
	saving  span // dense claims: the speed-up as a share of what the multiply-adds promise
	met     bool
}

// judge returns the verdicts of a contest on the claims whose sides are there.
func (c *contest) judge() []verdict {
	var all []verdict
	for _, k := range claims {
		ours, theirs := c.find(k.ours), c.find(k.theirs)
		if ours == nil || theirs == nil {
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

// share is how much of the peak a side of ours reaches, by the multiply-adds that it really performs.
func (c *contest) share(e *entry) float64 {
	if e.performed == 0 {
		return 0
	}
	seconds := e.milliseconds().value / 1000 / float64(c.batch)
	return 2 * e.performed / seconds / c.peak[e.precision]
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
	for _, t := range c.parts {
		if t.precision != e.precision {
			continue
		}
		p, whole := t.median(), e.milliseconds().value
		percent := func(ms float64) float64 { return 100 * ms / whole }
		words = append(words,
			fmt.Sprintf("products %.0f %% of the time, at %.0f %% of the peak", percent(p.products),
				100*p.rate()/c.peak[e.precision]),
			fmt.Sprintf("attention %.0f %%", percent(p.attention)), fmt.Sprintf("GELU %.0f %%", percent(p.gelu)),
			fmt.Sprintf("norms and rounding %.0f %%", percent(p.prepare)), fmt.Sprintf("all else %.0f %%",
				percent(whole-p.sum())))
	}
	return strings.Join(words, "; ")
}

// rate is the operations a second of the products.
func (p parts) rate() float64 { return 2 * p.macs / (p.products / 1000) }

// sum is the milliseconds of all parts.
func (p parts) sum() float64 { return p.products + p.attention + p.gelu + p.prepare }
