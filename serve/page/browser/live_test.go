package browser

import (
	"strings"
	"testing"
	"time"
)

// rests reports whether a value that changed each second does not do so any more. Once it may: there may have been an
// answer under way.
func rests[T comparable](value func() T) bool {
	for range 2 {
		before := value()
		if time.Sleep(2200 * time.Millisecond); value() == before {
			return true
		}
	}
	return false
}

// TestLive watches the chart: it goes on each second, stops when told, and says what it shows.
func TestLive(t *testing.T) {
	_, at := server(t)
	b := open(t, at, desk)
	b.until("a chart", `$$("#charts svg").length === 3`)
	b.until("the state", `$("#state").textContent === "ready"`)
	line := `$("#charts svg .line.c0")?.getAttribute("d") ?? ""`
	b.until("a line", `(`+line+`).split("L").length >= 3`)
	if label := eval[string](b, `$("#charts svg").getAttribute("aria-label")`); !strings.HasPrefix(label,
		"Load of the last two minutes, 0 to ") {
		t.Errorf("the chart is named %q", label)
	}
	b.click("#pause")
	if !rests(func() string { return eval[string](b, line) }) {
		t.Error("the chart goes on though it was told to stop")
	}
	before := eval[string](b, line)
	b.click("#pause")
	b.until("the chart to go on", `(`+line+`) !== "`+before+`"`)
}

// TestHidden: a page that nobody looks at asks for nothing.
func TestHidden(t *testing.T) {
	f, at := played(t)
	b := open(t, at, desk)
	b.until("the state", `$("#state").textContent === "ready"`)
	polls := func() (n int) {
		f.set(func() { n = f.polls })
		return n
	}
	eval[bool](b, `Object.defineProperty(document, "hidden", { value: true, configurable: true }) && true`)
	if !rests(polls) {
		t.Error("the page asks for the load while it is hidden")
	}
	before := polls()
	eval[bool](b, `delete document.hidden && document.dispatchEvent(new Event("visibilitychange"))`)
	for begin := time.Now(); polls() == before; time.Sleep(30 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatal("the page that is seen again does not ask for the load")
		}
	}
}

// TestRestart: a server that begins anew may have other models, which the page asks for.
func TestRestart(t *testing.T) {
	f, at := played(t)
	f.begin = time.Now().Add(-time.Hour)
	b := open(t, at, desk)
	b.until("the ladder and the time", `$("#ladder").checkVisibility() && $("#live-words").textContent.includes("up 1")`)
	f.set(func() { f.begin, f.bare = time.Now(), true })
	b.until("the other model", `!$("#ladder").checkVisibility() && !$("#model").disabled`)
}
