package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is a program that answers pictures, and how to start it.
type server struct {
	env  []string
	args func(address string) []string // HOST:PORT to listen at
}

// running is a server that has answered.
type running struct {
	url     string
	startup time.Duration // from its start until its first answer

	cmd    *exec.Cmd
	stderr *tail
	ended  chan error // of the process
}

// Longest times that servers may take to start, and to end.
const (
	startTime = 2 * time.Minute
	stopTime  = 20 * time.Second
)

// launch starts a server on some CPUs, and waits until it has answered a picture.
func launch(ctx context.Context, s server, cpus string, picture []byte) (*running, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := append([]string{"taskset", "-c", cpus}, s.args(address)...)
	r := &running{url: "http://" + address, cmd: exec.Command(args[0], args[1:]...), stderr: &tail{},
		ended: make(chan error, 1)}
	r.cmd.Env = append(os.Environ(), s.env...)
	r.cmd.Stdout, r.cmd.Stderr = r.stderr, r.stderr
	r.cmd.WaitDelay = patience
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children end with it
	begin := time.Now()
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { r.ended <- r.cmd.Wait() }()
	if err := r.firstAnswer(ctx, picture); err != nil {
		r.stop()
		return nil, fmt.Errorf("%s: %w; it wrote:\n%s", strings.Join(args, " "), err, r.stderr.text())
	}
	r.startup = time.Since(begin)
	return r, nil
}

// freeAddress is one of this machine's that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// firstAnswer asks until there is an answer.
func (r *running) firstAnswer(ctx context.Context, picture []byte) error {
	ctx, stop := context.WithTimeout(ctx, startTime)
	defer stop()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	last := errors.New("no answer")
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/v1/classify?top=5", bytes.NewReader(picture))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "image/jpeg")
		answer, err := client.Do(request)
		if err == nil {
			text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			last = fmt.Errorf("status %d: %s", answer.StatusCode, text)
			if answer.StatusCode != http.StatusServiceUnavailable { // not ready yet
				return last
			}
		}
		select {
		case <-time.After(time.Millisecond):
		case err := <-r.ended:
			r.ended <- err
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", ctx.Err(), last)
		}
	}
}

// stop ends the server and all that it has started.
func (r *running) stop() {
	group := -r.cmd.Process.Pid
	syscall.Kill(group, syscall.SIGTERM) // fails if it has ended, which is well
	select {
	case err := <-r.ended:
		r.ended <- err
	case <-time.After(stopTime):
	}
	syscall.Kill(group, syscall.SIGKILL)
	<-r.ended
}

// held is the memory of the server's processes: resident, and as their share of what they have in common (PSS).
type held struct{ rss, pss int64 } // bytes

var memoryLine = regexp.MustCompile(`(?m)^(Rss|Pss):\s+(\d+) kB$`)

// memory adds up the server's processes. Linux alone says it.
func (r *running) memory() (sum held, err error) {
	ids, err := family(r.cmd.Process.Pid)
	if err != nil {
		return sum, err
	}
	for _, id := range ids {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(id), "smaps_rollup"))
		if err != nil {
			return sum, fmt.Errorf("%w: %w", errAbsent, err)
		}
		for _, m := range memoryLine.FindAllStringSubmatch(string(text), -1) {
			kb, err := strconv.ParseInt(m[2], 10, 64)
			if err != nil {
				return sum, err
			}
			if m[1] == "Rss" {
				sum.rss += kb << 10
			} else {
				sum.pss += kb << 10
			}
		}
	}
	return sum, nil
}

// family is a process with its children and theirs.
func family(root int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return nil, fmt.Errorf("%w: no /proc", errAbsent)
	}
	children := map[int][]int{}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		var id, parent int
		var state string
		// The name, in brackets, may hold anything.
		if _, err := fmt.Sscan(string(text), &id); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, err := fmt.Sscan(string(text[bytes.LastIndexByte(text, ')')+1:]), &state, &parent); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		children[parent] = append(children[parent], id)
	}
	ids := []int{root}
	for i := 0; i < len(ids); i++ {
		ids = append(ids, children[ids[i]]...)
	}
	return ids, nil
}
