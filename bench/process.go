package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// process is a peer's program at work. It is started with the arguments
//
//	MODEL PRECISION SETTING THREADS BATCH INPUT CHANNELS HEIGHT WIDTH
//
// where SETTING is one of the peer's own, and INPUT is a file of images [n, C, H, W], float32, little endian, of which
// a run takes the first BATCH. It loads the model, runs one batch, and then speaks lines of JSON, one for each line
// that it is sent:
//
//	at the start      {"ready": true, "version": "1.2.3", "held": 12345, "note": "…"}
//	                  held: the bytes that model and session hold beyond the empty program; note: what a reader of the
//	                  figures must know, if anything
//	{"run": 1.5}      {"ms": [12.1, 12.3, …]}
//	                  1.5 seconds of batches, after one that does not count, three at least
//	{"logits": true}  {"logits": [0.12, …]}
//	                  of all images, run in batches (the last one filled up)
//	anything          {"error": "…"}
//	                  what went wrong
//
// It ends when its standard input does. With one more argument, "once", it runs the first image instead, prints the
// number of its class, and ends.
type process struct {
	version string
	note    string
	held    int64

	count   int // numbers that logits must have
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan answer
	stderr  *tail
	stop    context.CancelFunc
	reaped  sync.Once
	broken  error // a process that failed once is not asked again
}

// message is whatever a peer may say.
type message struct {
	Ready   bool      `json:"ready"`
	Version string    `json:"version"`
	Held    int64     `json:"held"`
	Note    string    `json:"note"`
	MS      []float64 `json:"ms"`
	Logits  []float32 `json:"logits"`
	Error   string    `json:"error"`
}

type answer struct {
	message
	err error
}

// Longest times that a peer may take beyond those it was asked to run.
const (
	loadTime   = 5 * time.Minute
	answerTime = 2 * time.Minute
)

// maxAnswer bounds a line: the logits of a few images.
const maxAnswer = 64 << 20

// startProcess starts the program and waits until its model is loaded. count is the number of logits of all images.
func startProcess(ctx context.Context, args []string, count int) (*process, error) {
	ctx, stop := context.WithCancel(ctx)
	p := &process{count: count, cmd: exec.CommandContext(ctx, args[0], args[1:]...), answers: make(chan answer),
		stderr: &tail{}, stop: stop}
	p.cmd.Stderr = p.stderr
	p.cmd.WaitDelay = patience
	in, err := p.cmd.StdinPipe()
	if err != nil {
		stop()
		return nil, err
	}
	p.in = in
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		stop()
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		stop()
		return nil, err
	}
	go p.read(ctx, out)
	a, err := p.wait(ctx, loadTime)
	if err == nil && !a.Ready {
		err = errors.New("it said something else before it was ready")
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("loading %s: %w", args[0], p.explain(err))
	}
	p.version, p.held, p.note = a.Version, a.Held, a.Note
	return p, nil
}

// read turns lines into answers until the program's output ends.
func (p *process) read(ctx context.Context, out io.Reader) {
	defer close(p.answers)
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 1<<16), maxAnswer)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a.message); err != nil {
			a.err = fmt.Errorf("%.80q is not a line of the protocol", lines.Text())
		} else if a.Error != "" {
			a.err = errors.New(a.Error)
		}
		select {
		case p.answers <- a:
		case <-ctx.Done():
			return
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		select {
		case p.answers <- answer{err: err}:
		case <-ctx.Done():
		}
	}
}

// wait returns the next answer.
func (p *process) wait(ctx context.Context, limit time.Duration) (message, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case a, ok := <-p.answers:
		if !ok {
			p.reap() // so that all that it wrote is here
			return message{}, errors.New("it ended")
		}
		return a.message, a.err
	case <-timer.C:
		return message{}, fmt.Errorf("no answer in %v", limit)
	case <-ctx.Done():
		return message{}, ctx.Err()
	}
}

// ask sends one request and returns its answer.
func (p *process) ask(ctx context.Context, request any, limit time.Duration) (m message, err error) {
	if p.broken != nil {
		return message{}, p.broken
	}
	defer func() {
		if err != nil {
			err = p.explain(err)
			p.broken = err
		}
	}()
	line, err := json.Marshal(request)
	if err != nil {
		return message{}, err
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		return message{}, err
	}
	return p.wait(ctx, limit)
}

// explain adds what the program wrote to standard error.
func (p *process) explain(err error) error {
	if text := p.stderr.text(); text != "" {
		return fmt.Errorf("%w; it wrote:\n%s", err, text)
	}
	return err
}

func (p *process) run(ctx context.Context, seconds float64) ([]float64, error) {
	m, err := p.ask(ctx, map[string]float64{"run": seconds}, answerTime+time.Duration(seconds*float64(time.Second)))
	if err != nil {
		return nil, err
	}
	for _, ms := range m.MS {
		if !(ms > 0) {
			return nil, fmt.Errorf("a batch took %v ms", ms)
		}
	}
	if len(m.MS) < leastBatches {
		return nil, fmt.Errorf("only %d batches, want %d or more", len(m.MS), leastBatches)
	}
	return m.MS, nil
}

func (p *process) logits(ctx context.Context) ([]float32, error) {
	m, err := p.ask(ctx, map[string]bool{"logits": true}, answerTime)
	if err == nil && len(m.Logits) != p.count {
		err = fmt.Errorf("%d logits, want %d", len(m.Logits), p.count)
	}
	return m.Logits, err
}

// close ends the program: by itself when its input ends, by force if it does not go.
func (p *process) close() {
	p.in.Close()
	force := time.AfterFunc(patience, p.stop)
	defer force.Stop()
	for range p.answers { // until its output ends
	}
	p.reap()
}

// patience is how long a program may take to end.
const patience = 5 * time.Second

// reap waits for a program whose output has ended; how it ends that is no longer needed does not matter.
func (p *process) reap() {
	p.reaped.Do(func() {
		force := time.AfterFunc(patience, p.stop)
		defer force.Stop()
		p.cmd.Wait()
		p.stop()
	})
}

// tail keeps the end of what is written to it.
type tail struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 8 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	n, _ := t.buffer.Write(b)
	if extra := t.buffer.Len() - most; extra > 0 {
		t.buffer.Next(extra)
	}
	return n, nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buffer.String())
}
