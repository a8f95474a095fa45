package serve

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Parameters of a request, as JSON and protobuf have them: string, bool, float64 or int64.
type Parameters map[string]any

// Names of parameters that mean something here.
const (
	paramBudget     = "compute_budget"     // share of the dense token-blocks, aimed at
	paramBudgetMax  = "compute_budget_max" // the same, never exceeded
	paramTimeout    = "timeout"            // microseconds, Triton's
	paramPriority   = "priority"           // Triton's; one queue for all here
	paramBinary     = "binary_data_output" // all outputs as bytes behind the JSON
	paramBinarySize = "binary_data_size"
	paramBinaryData = "binary_data"
	paramClasses    = "classification"
	paramShared     = "shared_memory_region" // Triton's, of a tensor
)

// number returns a parameter that is a number, or a text that is one: KServe's generated clients know no fractions.
func (p Parameters) number(name string) (float64, bool, error) {
	v, ok := p[name]
	if !ok {
		return 0, false, nil
	}
	f := math.NaN()
	switch v := v.(type) {
	case float64:
		f = v
	case int64:
		f = float64(v)
	case string:
		if x, err := strconv.ParseFloat(v, 64); err == nil {
			f = x
		}
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, false, refuse(http.StatusBadRequest, "parameter %q is %s, want a number", name, shown(v))
	}
	return f, true, nil
}

// classes is how many classes an output is to name, 0 for the tensor itself.
func (p Parameters) classes(output string) (int, error) {
	n, _, err := p.number(paramClasses)
	if err != nil || n != math.Trunc(n) || math.Abs(n) > math.MaxInt32 {
		return 0, refuse(http.StatusBadRequest, "output %q: classification %v, want a whole number", output, p[paramClasses])
	}
	return int(n), nil
}

// apply reads what a request's parameters say of its budget and time.
func (p Parameters) apply(r *Request) error {
	for name, to := range map[string]*float64{paramBudget: &r.Budget.Mean, paramBudgetMax: &r.Budget.Max} {
		v, ok, err := p.number(name)
		switch {
		case err != nil:
			return err
		case ok && !(v > 0 && v <= 1):
			return refuse(http.StatusBadRequest,
				"parameter %q is %v, want a share of the dense model's work, above 0 and at most 1",
				name, v)
		case ok:
			*to = v
		}
	}
	micros, _, err := p.number(paramTimeout)
	if err != nil {
		return err
	}
	if r.Timeout, err = checkTimeout(micros / 1e6); err != nil {
		return err
	}
	for _, name := range []string{"sequence_start", "sequence_end"} {
		if on, ok := p[name].(bool); ok && on {
			return refuse(http.StatusBadRequest, "parameter %q: these models keep nothing from one request to the next", name)
		}
	}
	return nil
}

// flag returns a parameter that is on or off.
func (p Parameters) flag(name string, otherwise bool) (bool, error) {
	v, ok := p[name]
	if !ok {
		return otherwise, nil
	}
	on, ok := v.(bool)
	if !ok {
		return false, refuse(http.StatusBadRequest, "parameter %q is %s, want true or false", name, shown(v))
	}
	return on, nil
}

// shown is a parameter's value in a message.
func shown(v any) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprintf("%.40q", fmt.Sprint(v))
}

// here reports a tensor that is said to be elsewhere.
func (p Parameters) here() error {
	if _, ok := p[paramShared]; ok {
		return refuse(http.StatusBadRequest, "there is no shared memory between this server and its clients; "+
			"send tensors in the request and take them from the answer")
	}
	return nil
}

// requestParameters are what a request's own parameters may be.
var requestParameters = []string{paramBudget, paramBudgetMax, paramTimeout, paramPriority, paramBinary,
	"sequence_start",
	"sequence_end"}

// others lists the parameters that mean nothing here, so that a misspelt one is not passed over in silence.
func (p Parameters) others(known ...string) (names []string) {
	for name := range p {
		if !slices.Contains(known, name) {
			names = append(names, name)
		}
	}
	return names
}

// Parameters are what every interface says of an answer's cost.
func (r *Response) Parameters(ignored []string) Parameters {
	p := Parameters{"compute_budget_applied": r.Applied, "budget_reason": r.Reason.String(),
		"token_blocks": int64(r.TokenBlocks), "macs": r.MACs}
	if slices.Sort(ignored); len(ignored) > 0 {
		p["ignored_parameters"] = strings.Join(slices.Compact(ignored), ",")
	}
	return p
}
