//go:build linux && !purego

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// hundred sends as many pictures at once, each on a connection of its own, and calls the returned function to wait for
// the answers: how many had which status, and how many had none.
func hundred(t *testing.T, addr string, file []byte) (wait func() (statuses map[int]int, failed []error)) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	statuses := map[int]int{}
	var failed []error
	for range 100 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
			status, err := classify(context.Background(), client, addr, file)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, err)
				return
			}
			statuses[status]++
		})
	}
	return func() (map[int]int, []error) {
		wg.Wait()
		return statuses, failed
	}
}

// TestServeTerm: with a hundred requests under way the server is told to end, and answers all of them first.
func TestServeTerm(t *testing.T) {
	s := startServer(t, "--on-overload", "queue", "--timeout", "60s", "--grace", "60s", "--drain-delay", "100ms")
	wait := hundred(t, s.http, photo(t, 800, 800)) // large, so that they take a while
	eventually(t, "a hundred requests under way", func() bool { return s.load(t).InFlight >= 90 })
	under := s.load(t).InFlight
	if err := s.stop(t, syscall.SIGTERM); err != nil {
		t.Errorf("the server ended with %v", err)
	}
	statuses, failed := wait()
	t.Logf("%d under way at SIGTERM; answers %v, failures %d", under, statuses, len(failed))
	if ok := statuses[http.StatusOK]; ok < under || ok+statuses[http.StatusServiceUnavailable]+len(failed) != 100 {
		t.Errorf("%d were under way; answers %v, failures %v", under, statuses, failed)
	}
}

// TestServeKilled: a server that was killed while it answered can be started at once on the same address, and answers.
func TestServeKilled(t *testing.T) {
	s := startServer(t, "--on-overload", "queue")
	file := photo(t, 1000, 1000)
	for range 3 {
		wait := hundred(t, s.http, file)
		eventually(t, "requests under way", func() bool { return s.load(t).InFlight > 20 })
		s.stop(t, syscall.SIGKILL)
		wait()
		s = startServer(t, "--on-overload", "queue", "--http", s.http)
		if status, err := classify(t.Context(), http.DefaultClient, s.http, file); status != http.StatusOK || err != nil {
			t.Fatalf("after a kill: %d, %v", status, err)
		}
	}
}

// TestServeReload: models, keys and certificates are read again under load, and no request is lost.
func TestServeReload(t *testing.T) {
	s := startServer(t)
	var clients []*bystander
	for range 4 {
		clients = append(clients, newBystander(t, s.http))
	}
	for i := range 10 {
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the reload's line in the log", func() bool { return strings.Count(s.text(), "msg=reloaded") > i })
	}
	answered := 0
	for _, c := range clients {
		_, n, err := c.end()
		if answered += n; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d requests during 10 reloads", answered)
	if answered < 20 {
		t.Errorf("only %d requests were answered meanwhile", answered)
	}
}

// TestServeFewFiles: with 64 file descriptors, of which clients take more than there are, a client that comes later is
// answered all the same.
func TestServeFewFiles(t *testing.T) {
	s := startServerBy(t, `ulimit -n 64; exec "$0" "$@"`, nil)
	for range 200 {
		dial(t, s.http)
	}
	for range 5 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
		if status, err := classify(t.Context(), client, s.http, photo(t, 28, 28)); status != http.StatusOK || err != nil {
			t.Errorf("%d, %v", status, err)
		}
	}
	if s.stop(t, syscall.SIGTERM) != nil {
		t.Errorf("the server ended with %v", s.err)
	}
}

// TestServeHalfACPU: with half a CPU the server computes with one thread, and answers whoever asks, if not everybody in
// time: nobody waits in vain.
func TestServeHalfACPU(t *testing.T) {
	group := controlGroup(t, []limit{{"cpu/", "cpu.cfs_period_us", "100000"}, {"cpu/", "cpu.cfs_quota_us", "50000"}},
		limit{"", "cpu.max", "50000 100000"})
	s := startServerBy(t, "echo $$ > "+group+`/cgroup.procs; exec "$0" "$@"`, nil, "--slo", "200ms", "--timeout", "30s")
	if !strings.Contains(s.text(), "cpu_quota=0.5") || s.load(t).Threads != 1 {
		t.Errorf("%d threads; log:\n%s", s.load(t).Threads, s.text())
	}
	statuses, failed := hundred(t, s.http, photo(t, 400, 400))()
	t.Logf("a hundred at once: %v", statuses)
	if len(failed) > 0 || statuses[http.StatusOK] == 0 ||
		statuses[http.StatusOK]+statuses[http.StatusServiceUnavailable]+statuses[http.StatusGatewayTimeout] != 100 {
		t.Errorf("answers %v, failures %v", statuses, failed)
	}
}

// TestServeLittleMemory: in a control group of 768 MiB the server with its default limits lives through pictures that
// are as large as they may be and bodies that are, sixteen of each at once.
func TestServeLittleMemory(t *testing.T) {
	group := controlGroup(t, []limit{{"memory/", "memory.limit_in_bytes", "768M"}}, limit{"", "memory.max", "768M"})
	s := startServerBy(t, "echo $$ > "+group+`/cgroup.procs; exec "$0" "$@"`, nil, "--threads", "2")
	if want := fmt.Sprint("memory_limit=", 768<<20/10*9); !strings.Contains(s.text(), want) {
		t.Errorf("the log does not say %s:\n%s", want, s.text())
	}
	bomb, body := pngBomb(4700, 4700, 4), make([]byte, 60<<20) // of 22.6 million pixels at most
	statuses := make(chan int, 32)
	together(16, func() {
		client := &http.Client{Timeout: 2 * time.Minute}
		for _, file := range [][]byte{bomb, body} {
			status, _ := classify(t.Context(), client, s.http, file)
			statuses <- status
		}
	})
	seen := map[int]int{}
	for range cap(statuses) {
		seen[<-statuses]++
	}
	t.Logf("answers %v, peak %d MiB", seen, s.peak(t)>>20)
	if !s.alive() {
		t.Fatalf("the server ended: %v", s.err)
	}
	// 0 is for a body that is refused while it is sent; 504 for pictures that wait for others.
	if seen[200]+seen[503]+seen[504]+seen[415]+seen[0] != cap(statuses) || seen[200] == 0 {
		t.Errorf("answers %v", seen)
	}
	if status, err := classify(t.Context(), http.DefaultClient, s.http, photo(t, 28, 28)); status != 200 || err != nil {
		t.Errorf("afterwards: %d, %v", status, err)
	}
}

// limit is a file of a control group and what to write into it.
type limit struct{ hierarchy, name, value string }

// controlGroup makes a control group with limits, of the version that the machine has: those of the first, or that of
// the second.
func controlGroup(t *testing.T, first []limit, second limit) (dir string) {
	t.Helper()
	for _, limits := range [][]limit{first, {second}} {
		root := filepath.Join("/sys/fs/cgroup", limits[0].hierarchy)
		dir := filepath.Join(root, fmt.Sprint("adavit-test-", os.Getpid()))
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		ok := true
		for _, l := range limits {
			ok = ok && os.WriteFile(filepath.Join(dir, l.name), []byte(l.value), 0) == nil
		}
		if ok {
			return dir
		}
	}
	t.Skip("no control group can be made here")
	return ""
}

// TestServeHangups: clients that go away before they are answered leave nothing behind.
func TestServeHangups(t *testing.T) {
	s := startServer(t, "--on-overload", "queue")
	file := photo(t, 300, 300)
	if status, err := classify(t.Context(), http.DefaultClient, s.http, file); status != http.StatusOK || err != nil {
		t.Fatalf("%d, %v", status, err)
	}
	threads := s.status(t, "Threads")
	var wg sync.WaitGroup
	var gone atomic.Int32
	for i := range 300 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%30)*time.Millisecond)
			defer cancel()
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			if _, err := classify(ctx, client, s.http, file); err != nil {
				gone.Add(1)
			}
		})
	}
	wg.Wait()
	eventually(t, "nothing under way", func() bool { l := s.load(t); return l.InFlight == 0 && l.Queue == 0 })
	t.Logf("%d of 300 clients went away; threads of the process %d, then %d", gone.Load(), threads, s.status(t, "Threads"))
	if status, err := classify(t.Context(), http.DefaultClient, s.http, file); status != http.StatusOK || err != nil {
		t.Errorf("%d, %v", status, err)
	}
}

// TestServeLogFull: a full disk takes no more of the log, and costs no request.
func TestServeLogFull(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	addr := freePort(t)
	cmd := self("serve", "--model", "fashion-adaptive", "--http", addr, "--grpc", "off", "--admin", "off", "--log",
		"debug")
	cmd.Stdout, cmd.Stderr = full, full
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	eventually(t, "an answer", func() bool {
		status, err := classify(t.Context(), http.DefaultClient, addr, photo(t, 28, 28))
		return err == nil && status == http.StatusOK
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// TestServeSystemd: as systemd's service the server takes the sockets that are there before it is, where clients may
// wait already, and tells what it does.
func TestServeSystemd(t *testing.T) {
	dir, err := os.MkdirTemp("", "adavit") // t.TempDir can be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	told := func(want string) {
		t.Helper()
		b := make([]byte, 4096)
		for {
			manager.SetReadDeadline(time.Now().Add(10 * time.Second))
			n, err := manager.Read(b)
			if err != nil {
				t.Fatalf("waited for %s: %v", want, err)
			}
			if text := string(b[:n]); strings.HasPrefix(text, want) {
				return
			} else if text != "WATCHDOG=1" {
				t.Errorf("told %q, want %s", text, want)
			}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	early := make(chan int, 1)
	go func() {
		status, _ := classify(t.Context(), http.DefaultClient, l.Addr().String(), photo(t, 28, 28))
		early <- status
	}()
	s := startServerBy(t, `LISTEN_PID=$$ exec "$0" "$@"`, func(cmd *exec.Cmd) {
		cmd.ExtraFiles = []*os.File{socket}
		cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=http", "WATCHDOG_USEC=200000",
			"NOTIFY_SOCKET="+manager.LocalAddr().String())
	})
	told("READY=1\nSTATUS=serving http=" + l.Addr().String())
	if s.http != l.Addr().String() {
		t.Errorf("it serves at %s, not at the socket %s", s.http, l.Addr())
	}
	if status := <-early; status != http.StatusOK {
		t.Errorf("who came early got status %d", status)
	}
	told("WATCHDOG=1")
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	told("RELOADING=1\nMONOTONIC_USEC=")
	told("READY=1")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	told("STOPPING=1")
	if <-s.done; s.err != nil {
		t.Errorf("the server ended with %v", s.err)
	}
}

// freePort is an address that nobody listens at, or did not a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
