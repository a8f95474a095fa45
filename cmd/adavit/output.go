package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// printJSON writes v as the command's one JSON object.
func (a *app) printJSON(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.print(append(b, '\n'))
}

// print writes a command's result, in one piece so that a failing standard output is noticed.
func (a *app) print(text []byte) error {
	if _, err := a.out.Write(text); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// progress shows how far a long piece of work has come: as a bar where standard error is a terminal and the work takes
// more than two seconds, else not at all.
type progress struct {
	err   io.Writer // nil where it is no terminal
	label string
	begin time.Time
	bar   *progressbar.ProgressBar // nil before it shows
}

// progress starts a bar, which end must take away. Lines of log take it away too, until the next update.
func (a *app) progress(label string) *progress {
	p := &progress{label: label, begin: time.Now()}
	if f, ok := a.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.err = f
		a.log = slog.New(slog.NewTextHandler(p, nil))
	}
	return p
}

// Write puts lines on the terminal in the place of the bar.
func (p *progress) Write(b []byte) (int, error) {
	if p.bar != nil {
		p.bar.Clear() // to a terminal; if that fails, so does what follows
	}
	return p.err.Write(b)
}

// update moves the bar.
func (p *progress) update(done, total int) {
	if p.err == nil || p.bar == nil && time.Since(p.begin) < 2*time.Second {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.err), progressbar.OptionSetDescription(p.label),
			progressbar.OptionSetWidth(30), progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	p.bar.Set(done) // fails only beyond the total
}

// download moves the bar by kilobytes of a file; it starts anew with each file.
func (p *progress) download(file string, done, total int64) {
	if total < 0 {
		return
	}
	if label := "downloading " + file; label != p.label {
		p.end()
		p.bar, p.label = nil, label
	}
	p.update(int(done>>10), int(total>>10))
}

// describe changes the words before the bar.
func (p *progress) describe(label string) {
	if p.label = label; p.bar != nil {
		p.bar.Describe(label)
	}
}

// end takes the bar away.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Finish()
	}
}
