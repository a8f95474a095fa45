package infer

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/adavit/adavit/halting"
	"github.com/adavit/adavit/internal/usage"
	"github.com/adavit/adavit/vit"
)

// Budget bounds what an image may cost, as shares of the N·L token-blocks that the dense model spends on one, more
// than 0 and at most 1. The zero value asks for nothing.
type Budget struct {
	// Mean is aimed at on the average over images: the model's ladder of measured budgets says by which constants. A
	// model without a ladder refuses it.
	Mean float64 `json:"mean,omitempty"`
	// Max is never exceeded, whatever the image and the weights: near it tokens are taken out, those with the largest
	// cumulative score first and the class token last (halting.State.Enforce).
	Max float64 `json:"max,omitempty"`
}

// ParseBudget reads MEAN, MEAN,MAX or 0,MAX: shares above 0 and at most 1, 0 or nothing for one that is not bounded. An
// error wraps usage.Err.
func ParseBudget(text string) (b Budget, err error) {
	mean, most, capped := strings.Cut(text, ",")
	if capped && mean == "" {
		mean = "0"
	}
	if b.Mean, err = strconv.ParseFloat(strings.TrimSpace(mean), 64); err == nil && capped {
		b.Max, err = strconv.ParseFloat(strings.TrimSpace(most), 64)
	}
	if err != nil || !(b.Mean >= 0 && b.Mean <= 1 && b.Max >= 0 && b.Max <= 1) || b == (Budget{}) {
		return Budget{}, usage.Errorf("%.40q, want MEAN, MEAN,MAX or 0,MAX: shares above 0 and at most 1, "+
			"such as 0,0.5", text)
	}
	return b, nil
}

// ErrNoLadder is the error about a mean budget for a model without a ladder.
var ErrNoLadder = errors.New("this model has no ladder of measured budgets (" + vit.LadderFile +
	"), so no mean can be aimed at; a cap works with every model")

// Schemes returns the halting schemes of a model, for Options.Schemes: its own, those of its ladder's rungs, and some
// between them. What lies between two rungs is taken to cost what lies between their means; where the rungs differ in
// more than halting.Between bridges, it is the lower rung.
func Schemes(m *vit.Model) (list []halting.Scheme, err error) {
	h := m.Params.Config.Halting
	configs := []halting.Config{h}
	for i, r := range m.Ladder {
		n, from := steps(m.Ladder, i), r.Apply(h)
		configs = append(configs, from)
		for step := 1; step < n; step++ {
			c, ok := halting.Between(from, m.Ladder[i+1].Apply(h), float64(step)/float64(n))
			if !ok {
				c = from
			}
			configs = append(configs, c)
		}
	}
	for _, c := range configs {
		s, err := halting.New(c)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// stepShare is how far apart two schemes of a ladder are at most, as a share of the mean; mostSteps bounds their number
// where rungs are far apart.
const (
	stepShare = 0.01
	mostSteps = 400
)

// Caution returns what a user should know whose mean lies outside a model's ladder: that its end is taken. "" is
// nothing, and so it is for a model that has none.
func (b Budget) Caution(m *vit.Model) string {
	if b.Mean == 0 || len(m.Ladder) == 0 {
		return ""
	}
	least, most := m.Ladder[0].Mean, m.Ladder[len(m.Ladder)-1].Mean
	if b.Mean >= least && b.Mean <= Near*most {
		return ""
	}
	return fmt.Sprintf("a budget of %g is beyond the model's ladder of %.3g to %.3g, whose end is taken; "+
		"'adavit calibrate' measures others", b.Mean, least, most)
}

// Near is how much more than one rung of a ladder the next one costs that has nothing between the two: their constants
// may be far apart all the same, where an exit takes over from a gate, and those halfway may cost more than both.
const Near = 1.03

// steps returns how many schemes stand for the means from rung i of a ladder to the next, the rung's own included.
func steps(ladder []vit.Rung, i int) int {
	if i+1 == len(ladder) || ladder[i+1].Mean <= Near*ladder[i].Mean {
		return 1
	}
	a, b := ladder[i].Mean, ladder[i+1].Mean
	return int(max(1, min(math.Ceil((b-a)/(stepShare*a)), mostSteps)))
}

// Limits returns what b comes to for a model: the index of a scheme of Schemes, and the most token-blocks of an image,
// 0 for any number. A share that makes no sense is an error that wraps usage.Err.
func (b Budget) Limits(m *vit.Model) (scheme, most int, err error) {
	for _, v := range []float64{b.Mean, b.Max} {
		if !(v >= 0 && v <= 1) {
			return 0, 0, usage.Errorf("a budget of %v, want a share of the dense model's work, above 0 and at most 1", v)
		}
	}
	if b.Mean > 0 {
		if len(m.Ladder) == 0 {
			return 0, 0, ErrNoLadder
		}
		scheme = nearest(m.Ladder, b.Mean)
	}
	if b.Max > 0 {
		c := &m.Params.Config
		dense, least := float64(c.Tokens()*c.Layers), c.Readouts().Least()
		if most = int(b.Max * dense); most < least {
			return 0, 0, usage.Errorf("a cap of %v of the dense model's work, but the least that can run is %.2g of it",
				b.Max, float64(least)/dense)
		}
	}
	return scheme, most, nil
}

// nearest returns the index in Schemes of the one for a mean budget: of the ladder's that which costs most within it,
// or else the one that costs least.
func nearest(ladder []vit.Rung, mean float64) int {
	at := 1 // the rung's own scheme
	for i, r := range ladder {
		n := steps(ladder, i)
		if i+1 < len(ladder) && mean >= ladder[i+1].Mean {
			at += n
			continue
		}
		if n > 1 && mean > r.Mean {
			at += int(float64(n) * (mean - r.Mean) / (ladder[i+1].Mean - r.Mean))
		}
		break
	}
	return at
}
