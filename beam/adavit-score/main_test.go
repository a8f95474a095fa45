package main

import (
	"errors"
	"testing"

	"github.com/adavit/adavit"
)

// TestCheckRunner: a runner that there is not is wrong usage, and so is a dry run that would be none.
func TestCheckRunner(t *testing.T) {
	for _, x := range []struct {
		runner string
		dry    bool
		right  bool
	}{{"", false, true}, {"prism", false, true}, {"dataflow", true, true}, {"dot", false, true}, {"foo", false, false},
		{"", true, false}, {"universal", true, false}} {
		if err := checkRunner(x.runner, x.dry); x.right != (err == nil) || err != nil && !errors.Is(err, adavit.ErrUsage) {
			t.Errorf("--runner %q, --dry_run %v: error %v", x.runner, x.dry, err)
		}
	}
}
