package load

import "testing"

// TestNothingStarves: patient requests beside hasty ones, those whose budget nothing lowers beside others, and a small
// model beside a large one: of each a tenth at least is answered, at five times the nominal load as well.
func TestNothingStarves(t *testing.T) {
	for seed := range uint64(100) {
		for _, times := range []float64{2, 5} {
			p, _ := draw(seed, times)
			p.impatient, p.fixedAsk, p.small, p.tail = 0.2, 0.1, 0.3, false
			o := p.run(t, Degrade, seed)
			if o.left > 0 || o.dark > objective.Seconds() || o.overdue > objective.Seconds() {
				t.Errorf("seed %d: %d images left, %.2f s without an answer, one kept %.2f s too long", seed, o.left,
					o.dark, o.overdue)
			}
			for g := range o.groups {
				if group := &o.groups[g]; 10*group.answered < group.offered {
					t.Errorf("seed %d, %g times: of group %d, %d of %d have an answer", seed, times, g, group.answered,
						group.offered)
				}
			}
		}
	}
}
