package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// show prints a command's result: v as one JSON object with --json, else text, where "" is nothing.
func (a *app) show(v any, text string) error {
	if a.json {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		text = string(b) + "\n"
	}
	return a.print(text)
}

// print writes a result in one piece, so that a failing standard output is noticed.
func (a *app) print(text string) error {
	a.bar.end()
	if _, err := io.WriteString(a.out, text); err != nil && text != "" {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// visible is text with its control characters as \u0000: a file's name must not steer the terminal. In JSON they mean
// the same.
func visible(text string) string {
	steers := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if strings.IndexFunc(text, steers) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if steers(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// visibleWriter writes what is visible of text.
type visibleWriter struct{ io.Writer }

func (w visibleWriter) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, visible(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// progress shows how far a long piece of work has come: as a bar where standard error is a terminal and the work takes
// more than two seconds, else not at all.
type progress struct {
	err      io.Writer
	terminal bool
	label    string
	begin    time.Time
	bar      *progressbar.ProgressBar // nil before it shows
}

func newProgress(errs io.Writer) *progress {
	f, ok := errs.(*os.File)
	return &progress{err: errs, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// Write puts lines of log in the place of the bar, until the next update.
func (p *progress) Write(b []byte) (int, error) {
	if p.bar != nil {
		p.bar.Clear() // to a terminal; if that fails, so does what follows
	}
	return p.err.Write(b)
}

// start begins a new piece of work.
func (p *progress) start(label string) {
	p.end()
	p.label, p.begin = label, time.Now()
}

// update moves the bar.
func (p *progress) update(done, total int) {
	if !p.terminal || p.bar == nil && time.Since(p.begin) < 2*time.Second {
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
		p.start(label)
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
		p.bar = nil
	}
}
