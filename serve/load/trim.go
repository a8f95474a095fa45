package load

// The trim's constants, and what admission counts on.
const (
	aim       = 0.8  // of the objective: where the 99th percentile is wanted
	roomMost  = 0.75 // of an image's time: what admission may promise, by predictions that are right on average only
	roomLeast = 0.3  // of it, where the predictions turn out to promise too much
	reserve   = 0.1  // of an image's time, for predictions of larger budgets that are wrong
	gain      = 0.1  // of the relative error, a period
	upward    = 0.1  // of that where there is time to spare
	trimStart = 0.4
	trimLeast = 0.1
	trimMost  = 0.6 // the rest is for the image's own pass, for the passes before it, and for surprises
	fewest    = 10  // answers that a percentile is taken of
	quantile  = 0.99
)

// trim is the share θ of an image's whole time, from its arrival to its deadline, that the images up to it in the queue
// may still take, or their budgets are lowered. Latencies under load settle somewhat above it, whatever the load; the
// trim moves it so that their 99th percentile comes to lie at 0.8 of the objective. It does so in brownout's form,
// θ += 0.1·e·θ/r with the error e = r − p99, ten times slower upward. A queue that is empty needs no trim, so budgets
// are whole again as soon as the backlog is gone, wherever θ stands.
type trim struct {
	theta float64
	// room is the share of an image's time that admission may promise away. It shrinks where budgets are at their least
	// and the percentile still misses its aim, as on a core that spends much of itself on turning others away.
	room float64
	// What happened in this period: budgets were lowered; they were at their least and more would have been lowered.
	lowered, floor bool
}

// step ends a period. A percentile says nothing of θ where θ could not act: there is no more to give when no budget was
// lowered, and nothing more to take when all were at their least. Then θ stays.
func (t *trim) step(p99, objective float64) {
	r := aim * objective
	e := (r - p99) / r
	if e > 0 {
		e *= upward
	}
	if e > 0 && t.lowered || e < 0 && !t.floor {
		t.theta = min(max(t.theta+gain*max(e, -1)*t.theta, trimLeast), trimMost)
	}
	if e > 0 || t.floor {
		t.room = min(max(t.room+2*gain*max(e, -1)*t.room, roomLeast), roomMost)
	}
	t.lowered, t.floor = false, false
}

// begin is θ within a smaller room: budgets are lowered before anybody is turned away.
func (t *trim) begin() float64 { return t.theta * t.room / roomMost }
