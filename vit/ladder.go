package vit

import "fmt"

// LadderFile holds a model's ladder of measured budgets, beside its weights. A model can do without.
const LadderFile = "budgets.json"

// Rung is one measured budget of a model: with these constants of its halting scheme an image costs Mean of the
// token-blocks that the dense model spends, on the average.
type Rung struct {
	Mean      float64            `json:"mean"`      // more than 0, at most 1
	Constants map[string]float64 `json:"constants"` // by the scheme's keys
}

// readLadder reads the ladder, which may be absent. Keys beside those of Rung are for people.
func (s source) readLadder(m *Model) error {
	var file struct {
		Rungs []Rung `json:"rungs"`
	}
	if err := s.optional(LadderFile, &file); err != nil {
		return err
	}
	for i, r := range file.Rungs {
		h := m.Params.Config.Halting
		for key, value := range r.Constants {
			h = h.With(key, value)
		}
		if err := h.ValidateFor(m.Params.Config.Layers); err != nil || !(r.Mean > 0 && r.Mean <= 1) {
			return fmt.Errorf("%s: rung %d costs %v of the dense model (%w)", s.shown(LadderFile), i, r.Mean, err)
		}
	}
	m.Ladder = file.Rungs
	return nil
}
