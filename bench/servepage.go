package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/adavit/adavit/internal/turns"
	"github.com/adavit/adavit/report"
)

// serversHeading begins the section of a page that -serve writes, and that other runs leave as it is.
const serversHeading = "## Servers side by side"

// What was asked for of our server, beside the peer and on its own.
const (
	denseAsked    = 3.0   // times the peer's best int8
	haltingAsked  = 5.0   // the same with tokens that halt
	memoryAsked   = 0.1   // of the peer's
	startupAsked  = 150.0 // milliseconds
	largeShare    = 0.95  // of the engine's throughput, of deit-small
	smallShare    = 0.9   // of smaller models
	overheadAsked = 0.3   // milliseconds
)

// section cuts a page into what comes before its section of servers, that section, and what follows.
func section(page string) (before, servers, after string) {
	start := strings.Index("\n"+page, "\n"+serversHeading+"\n")
	if start < 0 {
		// Commands stand last on a page.
		if end := strings.Index("\n"+page, "\n## Commands\n"); end >= 0 {
			return page[:end], "", page[end:]
		}
		return page, "", ""
	}
	rest := page[start:]
	if end := strings.Index(rest[len(serversHeading):], "\n## "); end >= 0 {
		end += len(serversHeading) + 1
		return page[:start], rest[:end], rest[end:]
	}
	return page[:start], rest, ""
}

// replaceSection writes the section of servers into a page, or a page of its own.
func replaceSection(path, text string) error {
	page, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before, _, after := section(string(page))
	if before != "" && !strings.HasSuffix(before, "\n\n") {
		before += "\n"
	}
	if after != "" {
		text += "\n"
	}
	return os.WriteFile(path, []byte(before+text+after), 0o666)
}

// keepSection puts the section of servers of the page at path into a new page.
func keepSection(path, page string) string {
	old, err := os.ReadFile(path)
	if err != nil {
		return page // none is there
	}
	_, servers, _ := section(string(old))
	if servers == "" {
		return page
	}
	before, _, after := section(page)
	if !strings.HasSuffix(servers, "\n\n") && after != "" {
		servers += "\n"
	}
	return before + servers + after
}

// median of one figure over a server's turns, and its smallest and largest.
func (c *contestant) median(of func(t serverTurn) float64) span {
	var all []float64
	for _, t := range c.turns {
		all = append(all, of(t))
	}
	return spanOf(all)
}

// spanOf is the median of some figures, and their range.
func spanOf(all []float64) span {
	s := span{value: turns.Median(all), low: all[0], high: all[0]}
	for _, v := range all {
		s.low, s.high = min(s.low, v), max(s.high, v)
	}
	return s
}

func (c *contestant) capacity() span {
	return c.median(func(t serverTurn) float64 { return t.capacity })
}

func (c *contestant) pss() span {
	return c.median(func(t serverTurn) float64 { return float64(t.held.pss) })
}

// against is how many times the capacity of another server this one has: the ratio of medians, and the smallest and
// largest one within a round.
func (c *contestant) against(other *contestant) span {
	s := span{value: c.capacity().value / other.capacity().value}
	for i := range c.turns {
		r := c.turns[i].capacity / other.turns[i].capacity
		if s.low = min(s.low, r); i == 0 {
			s.low = r
		}
		s.high = max(s.high, r)
	}
	return s
}

// best is the peer's server with the largest capacity among those whose precision begins so; nil for none.
func (c *serverContest) best(precision string) (best *contestant) {
	for _, side := range c.all {
		if side.who != oursName && strings.HasPrefix(side.what, precision) &&
			(best == nil || side.capacity().value > best.capacity().value) {
			best = side
		}
	}
	return best
}

// writeServers writes the section.
func (f *serveFindings) writeServers(w io.Writer) {
	p := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	o := f.options
	p("%s\n", serversHeading)
	p("Written by `make bench-serve` on %s; it took %.0f minutes.\n",
		f.date.Format("2006-01-02 15:04 MST"), f.took.Minutes())
	p("A picture file in, the five likeliest classes out: `adavit serve` beside FastAPI with ONNX Runtime as people "+
		"write it (bench/peers/fastapi_server.py), whose setting is\nthe best of those that it was tried with. "+
		"Server on CPUs %s, generator (`adavit bench --url`, Poisson arrivals, latency from the intended send time) on "+
		"%s. They take turns: %d rounds; each turn\nstarts the server anew, looks for its capacity with more and more "+
		"connections, and runs %v at %v and %v of that capacity. Figures are medians over the rounds, in brackets the\n"+
		"smallest and the largest. *Halting*: the adaptive model as it is; nobody else removes tokens.\n",
		o.serverCPUs, o.generatorCPUs, o.serveOptions.rounds, o.time, serverLoads[0], serverLoads[1])
	f.writeMachine(p, "Notes")
	f.writeServerClaims(w)
	for _, c := range f.contests {
		p("\n### Serving %s\n\n%s.\n", c.model.name, capital(c.model.what))
		c.writeTable(w)
	}
	f.writeOverheads(w)
	p("\nCommands:\n")
	for _, line := range f.commands.lines {
		p("    %s", line)
	}
}

// capital makes the first letter large.
func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// writeServerClaims writes what was asked for beside what was measured.
func (f *serveFindings) writeServerClaims(w io.Writer) {
	t := report.NewTable(4, "of the server", "model", "against", "asked", "measured", "")
	for _, c := range f.contests {
		peer := c.best(int8Name)
		for _, side := range c.all {
			if side.who != oursName || !strings.HasPrefix(side.what, int8Name) {
				continue
			}
			asked := denseAsked
			if side.what != int8Name {
				asked = haltingAsked
			}
			first := side.median(func(t serverTurn) float64 { return t.startup })
			if peer != nil {
				r, memory := side.against(peer), side.pss().value/peer.pss().value
				t.Add("capacity, "+side.what, c.model.name, peer.who+" "+peer.what, fmt.Sprintf("%.0f ×", asked), r.ratio(),
					yes(r.value >= asked))
				t.Add("memory, "+side.what, c.model.name, peer.who+" "+peer.what, fmt.Sprintf("at most %v ×", memoryAsked),
					fmt.Sprintf("%.3f ×", memory), yes(memory <= memoryAsked))
			}
			t.Add("first answer, "+side.what, c.model.name, "", fmt.Sprintf("within %.0f ms", startupAsked),
				fmt.Sprintf("%.0f ms", first.value), yes(first.value <= startupAsked))
		}
		if h := c.overhead; h != nil {
			asked := smallShare
			if c.model.name == "deit-small" {
				asked = largeShare
			}
			for i, images := range [][]float64{h.server, h.batched} {
				share := spanOf(images).value / spanOf(h.engine).value
				t.Add(fmt.Sprintf("throughput, int8, tensors in, requests of %d", []int{1, serverBatch}[i]), c.model.name,
					"its engine", fmt.Sprintf("%.0f %%", 100*asked), fmt.Sprintf("%.1f %%", 100*share), yes(share >= asked))
			}
			added := spanOf(h.outside).value
			t.Add("median beside inference, int8, tensors in", c.model.name, "its engine",
				fmt.Sprintf("at most %v ms", overheadAsked), fmt.Sprintf("%.2f ms", added), yes(added <= overheadAsked))
		}
	}
	if len(t.Rows) > 0 {
		io.WriteString(w, "\n"+t.Markdown())
	}
}

// writeTable writes the servers of one model.
func (c *serverContest) writeTable(w io.Writer) {
	peer := c.best(int8Name)
	head := []string{"server", "requests/s"}
	if peer != nil {
		head = append(head, "× "+peer.who+" "+peer.what)
	}
	for _, load := range serverLoads {
		head = append(head, fmt.Sprintf("p50 ms at %v", load), "p99")
	}
	t := report.NewTable(1, append(head, "memory (PSS)", "resident", "first answer ms", "same class")...)
	for _, side := range c.all {
		row := []string{side.who + " " + side.what, side.capacity().text()}
		if peer != nil {
			row = append(row, side.against(peer).ratio())
		}
		for i := range serverLoads {
			row = append(row, side.median(func(t serverTurn) float64 { return t.p50[i] }).text(),
				side.median(func(t serverTurn) float64 { return t.p99[i] }).text())
		}
		rss := side.median(func(t serverTurn) float64 { return float64(t.held.rss) })
		t.Add(append(row, megabytes(int64(side.pss().value)), megabytes(int64(rss.value)),
			side.median(func(t serverTurn) float64 { return t.startup }).text(),
			fmt.Sprintf("%d of %d", side.same, checkPictures))...)
	}
	io.WriteString(w, t.Markdown())
	for _, side := range c.all {
		if side.how != "" {
			fmt.Fprintf(w, "\n%s %s: %s.\n", side.who, side.what, side.how)
		}
	}
}

// text is a figure with its range.
func (s span) text() string { return fmt.Sprintf("%.4g (%.4g–%.4g)", s.value, s.low, s.high) }

// writeOverheads writes what our server adds to our engine.
func (f *serveFindings) writeOverheads(w io.Writer) {
	t := report.NewTable(1, "model", "engine images/s", "server", fmt.Sprintf("server, requests of %d", serverBatch),
		"engine ms of one image", "server, nearly idle", "beside inference")
	for _, c := range f.contests {
		if h := c.overhead; h != nil {
			t.Add(c.model.name, spanOf(h.engine).text(), spanOf(h.server).text(), spanOf(h.batched).text(),
				spanOf(h.alone).text(), spanOf(h.served).text(), spanOf(h.outside).text())
		}
	}
	if len(t.Rows) > 0 {
		fmt.Fprintf(w, "\n### What the server adds to its engine\n\nThe dense model in int8, tensors in (binary, one image "+
			"a request where nothing else is said). Engine: `adavit bench`, the best of batches %v; the time of one image is "+
			"that of batch 1.\nServer: its capacity, its median latency at %v of that, and how much of it the server did not "+
			"spend in its engine (whose caches are colder than in a benchmark).\n\n%s", engineBatches, idleLoad, t.Markdown())
	}
}
