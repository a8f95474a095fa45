package trainer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adavit/adavit/train"
)

// TestPrecisionOfRuns: a run computes in what is asked for, else in the recipe's precision, else it goes on as it
// began, else in the fastest of the machine. One may go on in another, which the log tells.
func TestPrecisionOfRuns(t *testing.T) {
	fastest := train.Fastest()
	if fastest == train.F32 {
		fastest = ""
	}
	dir := filepath.Join(t.TempDir(), "model")
	for _, c := range []struct{ recipe, asked, want string }{
		{"", "", fastest}, {"", train.F32, train.F32}, {"", train.BF16, train.BF16}, {train.F32, "", train.F32},
		{train.BF16, "", train.BF16}, {train.BF16, train.F32, train.F32},
	} {
		r := DefaultRecipe()
		r.Precision = c.recipe
		if got := r.In(c.asked, dir, true).Precision; got != c.want {
			t.Errorf("recipe %q, asked %q: %q, want %q", c.recipe, c.asked, got, c.want)
		}
	}
	o := stripesRun(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	o.Progress = func(p Progress) {
		if p.Step == 7 {
			cancel()
		}
	}
	if _, err := Run(ctx, o); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	if got := o.Recipe.In("", dir, true).Precision; got != "" {
		t.Errorf("a run that began in float32 would go on in %s", got)
	}
	var log bytes.Buffer
	o.Resume, o.Progress, o.Log = true, nil, slog.New(slog.NewTextHandler(&log, nil))
	o.Recipe = o.Recipe.In(train.BF16, dir, true)
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "precision") || !strings.Contains(log.String(), train.BF16) {
		t.Errorf("the log does not tell: %s", &log)
	}
	card, err := ReadCard(dir)
	if err != nil || card.Recipe.Precision != train.BF16 {
		t.Errorf("the card has precision %q, %v", card.Recipe.Precision, err)
	}
	bad := DefaultRecipe()
	if bad.Precision = "int8"; bad.Validate() == nil {
		t.Error("a recipe in int8 is valid")
	}
}
