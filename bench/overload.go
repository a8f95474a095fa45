package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/adavit/adavit/internal/tools"
	"github.com/adavit/adavit/internal/turns"
)

// The overload experiment: what a server does that is asked for more than it can answer. The nominal rate is a share of
// its capacity at the model's own budget; then come N times as many requests, at random times that know nothing of each
// other, to a server that lets all of them wait, to one that turns away what it cannot answer in time, and to one that
// spends less on each first.

// arm is a way to meet overload.
type arm struct{ name, flag string }

// The three arms. No control has no objective.
var arms = []arm{{"no control", "queue"}, {"shed", "shed"}, {"degrade", "degrade"}}

// flags are those of adavit serve.
func (a arm) flags(slo time.Duration) []string {
	if a.flag == "queue" {
		return []string{"--on-overload", a.flag}
	}
	return []string{"--on-overload", a.flag, "--slo", slo.String()}
}

// nominalLoad is the share of its capacity that a server is usually asked for.
const nominalLoad = 0.6

// overloadCell is one arm at N times the nominal rate.
type overloadCell struct {
	Arm    string             `json:"arm"`
	N      int                `json:"n"`
	Rounds []tools.RateResult `json:"rounds"`
}

// overloadOf is the experiment on one model.
type overloadOf struct {
	Model    string          `json:"model"`
	Capacity []float64       `json:"capacity"` // requests a second, by rounds
	Nominal  float64         `json:"nominal"`
	SLO      float64         `json:"slo_ms"`
	Cells    []*overloadCell `json:"cells"`
}

// overload runs the experiment on all models and writes its folder.
func (f *serveFindings) overload(ctx context.Context) error {
	o := f.options
	if err := os.MkdirAll(o.folder, 0o777); err != nil { // better now than after the work
		return err
	}
	var all []*overloadOf
	for _, name := range o.modelsOr("fashion", "deit-tiny") {
		f.progress("making %s", name)
		m, err := makeServed(ctx, o.cache, name)
		if err != nil {
			return fmt.Errorf("model %s: %w", name, err)
		}
		x, err := f.overloadModel(ctx, m)
		if err != nil {
			return fmt.Errorf("overload of %s: %w", name, err)
		}
		all = append(all, x)
	}
	f.noteDoubts()
	f.took = time.Since(f.date)
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.folder, "overload.json"), append(text, '\n'), 0o666); err != nil {
		return err
	}
	return f.writeOverload(all)
}

// overloadModel runs all arms at all rates, in turns.
func (f *serveFindings) overloadModel(ctx context.Context, m *served) (*overloadOf, error) {
	o := f.options
	x := &overloadOf{Model: m.name, SLO: o.slo.Seconds() * 1000}
	for range o.serveOptions.rounds {
		err := f.onServer(ctx, m, arms[0], func(url string) error {
			r, err := f.program.load(ctx, url, true, []float64{nominalLoad}, o.time, "--images", m.pictures)
			if err == nil {
				x.Capacity = append(x.Capacity, r.Capacity.Requests)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	x.Nominal = nominalLoad * turns.Median(x.Capacity)
	f.progress("%s: capacity %.4g requests/s", m.name, turns.Median(x.Capacity))
	for _, n := range o.multiples {
		for _, a := range arms {
			x.Cells = append(x.Cells, &overloadCell{Arm: a.name, N: n})
		}
	}
	return x, turns.Play(ctx, o.serveOptions.rounds, len(x.Cells), func(round, i int) error {
		c, a := x.Cells[i], arms[i%len(arms)]
		return f.onServer(ctx, m, a, func(url string) error {
			rate := float64(c.N) * x.Nominal
			// All that a server lets wait shall be its own: so many connections that it is never the generator's.
			r, err := f.program.load(ctx, url, false, []float64{rate}, o.time, "--images", m.pictures, "--slo", o.slo.String(),
				"--connections", "8000", "--seed", strconv.Itoa(round+1))
			if err != nil {
				return err
			}
			c.Rounds = append(c.Rounds, r.Rates[0])
			f.progress("%s, round %d, %d × nominal, %s: %.1f %% answered", m.name, round+1, c.N, a.name, 100*r.Rates[0].Success)
			f.doubt(r.Rates[0], "%s, %d × nominal, %s", m.name, c.N, a.name)
			return nil
		})
	}, nil)
}

// onServer starts our server with the adaptive model for as long as use takes.
func (f *serveFindings) onServer(ctx context.Context, m *served, a arm, use func(url string) error) error {
	flags := append(a.flags(f.options.slo), "--threads", strconv.Itoa(f.options.serverCores()), "--precision", int8Name)
	r, err := launch(ctx, f.program.server(m.adaptive, flags...), f.options.serverCPUs, m.first)
	if err != nil {
		return err
	}
	defer r.stop()
	return use(r.url)
}

// find returns a cell, or nil.
func (x *overloadOf) find(arm string, n int) *overloadCell {
	for _, c := range x.Cells {
		if c.Arm == arm && c.N == n {
			return c
		}
	}
	return nil
}

// median is that of one figure over a cell's rounds.
func (c *overloadCell) median(of func(r tools.RateResult) float64) float64 {
	var all []float64
	for _, r := range c.Rounds {
		all = append(all, of(r))
	}
	return turns.Median(all)
}
