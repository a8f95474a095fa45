package systemd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// child is set in the processes that the tests start of this binary.
const child = "SYSTEMD_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	if err := greet(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// greet answers one connection on each socket with the socket's name.
func greet() error {
	sockets, err := Sockets("http", "grpc", "admin")
	if err != nil {
		return err
	}
	if again, err := Sockets("http"); len(again) != 0 || err != nil || os.Getenv("LISTEN_FDS") != "" {
		return fmt.Errorf("a second call returns %d sockets, %v", len(again), err)
	}
	for name, list := range sockets {
		for _, l := range list {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			fmt.Fprintf(c, "%s of %d", name, len(list))
			c.Close()
		}
	}
	fmt.Println("names:", len(sockets))
	return nil
}

// TestSockets passes real descriptors to a process, as systemd does, whose clients connect before it starts.
func TestSockets(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("systemd is Linux's")
	}
	for _, c := range []struct {
		names   string
		sockets int
		env     []string
		want    string
	}{
		{names: "http:grpc:admin", sockets: 3, want: "names: 3"},
		{names: "http:http", sockets: 2, want: "names: 1"},
		{names: "", sockets: 0, want: "names: 0"},
		{names: "http:adavit.socket", sockets: 2, want: `a socket named "adavit.socket": FileDescriptorName=`},
		{names: "", sockets: 1, want: `a socket named "LISTEN_FD_3"`},
		{names: "http", sockets: 1, env: []string{"LISTEN_PID=1"}, want: "names: 0"}, // another's
	} {
		t.Run(c.names, func(t *testing.T) {
			var files []*os.File
			var clients []net.Conn
			for range c.sockets {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				f, err := l.(*net.TCPListener).File()
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				client, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer client.Close()
				l.Close()
				files, clients = append(files, f), append(clients, client)
			}
			out, err := pass(c.names, files, c.env)
			if !strings.Contains(out, c.want) || (err == nil) != strings.HasPrefix(c.want, "names") {
				t.Fatalf("%v, %q; want %q", err, out, c.want)
			}
			if err != nil || c.env != nil {
				return
			}
			for i, name := range strings.Split(c.names, ":")[:c.sockets] {
				want := fmt.Sprintf("%s of %d", name, strings.Count(c.names, name))
				if got, err := io.ReadAll(clients[i]); string(got) != want || err != nil {
					t.Errorf("socket %d answers %q, %v; want %q", i, got, err, want)
				}
			}
		})
	}

	t.Run("datagrams", func(t *testing.T) {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f, err := c.(*net.UDPConn).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if out, err := pass("http", []*os.File{f}, nil); err == nil || !strings.Contains(out, "want ListenStream=") {
			t.Errorf("%v, %q", err, out)
		}
	})
}

// pass runs this binary with the files as descriptors 3 and on. The shell knows the number of the process that it
// becomes, which LISTEN_PID must name.
func pass(names string, files []*os.File, env []string) (out string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `LISTEN_PID=${LISTEN_PID:-$$} exec "$0"`, os.Args[0])
	cmd.ExtraFiles = files
	cmd.Env = append(os.Environ(), child+"=1", fmt.Sprint("LISTEN_FDS=", len(files)), "LISTEN_FDNAMES="+names)
	cmd.Env = append(cmd.Env, env...)
	b, err := cmd.CombinedOutput()
	return string(b), err
}

// TestNotify listens where systemd would.
func TestNotify(t *testing.T) {
	if err := errors.Join(Ready("x"), Reloading(), Stopping()); err != nil {
		t.Errorf("without systemd: %v", err)
	}
	messages := manager(t)
	for _, c := range []struct {
		tell func() error
		want string
	}{
		{func() error { return Ready("serving\nat :8080") }, `^READY=1\nSTATUS=serving at :8080$`},
		{Reloading, `^RELOADING=1\n(MONOTONIC_USEC=\d+\n)?$`},
		{Stopping, `^STOPPING=1$`},
	} {
		if err := c.tell(); err != nil {
			t.Fatal(err)
		}
		if got := <-messages; !regexp.MustCompile(c.want).MatchString(got) {
			t.Errorf("told %q, want %s", got, c.want)
		}
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := Stopping(); err == nil || !strings.Contains(err.Error(), "systemd could not be told") {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestWatchdog: systemd hears of the service while it is well, and nothing of it while it is not.
func TestWatchdog(t *testing.T) {
	if err := Watchdog(t.Context(), func(context.Context) error { t.Error("asked"); return nil }); err != nil {
		t.Errorf("without a watchdog: %v", err)
	}
	messages := manager(t)
	t.Setenv("WATCHDOG_USEC", "2000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	ctx, stop := context.WithCancel(t.Context())
	var states []bool
	err := Watchdog(ctx, func(context.Context) error {
		states = append(states, len(states)%2 == 0)
		if len(states) == 6 {
			stop()
		}
		if !states[len(states)-1] {
			return errors.New("stuck")
		}
		return nil
	})
	if err != nil || !slices.Equal(states, []bool{true, false, true, false, true, false}) {
		t.Fatalf("%v, %v", err, states)
	}
	if err := Stopping(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"} {
		if got := <-messages; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	if err := Watchdog(t.Context(), func(context.Context) error { return nil }); err == nil {
		t.Error("no error for an interval that is no number")
	}
}

// manager stands in for systemd, and returns what it is told.
func manager(t *testing.T) <-chan string {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // t.TempDir can be too long for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "socket")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skipf("no datagrams between processes here: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	messages := make(chan string, 16)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				close(messages)
				return
			}
			messages <- string(b[:n])
		}
	}()
	return messages
}
