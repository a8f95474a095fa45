package tools

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// kernelAlarm is a timer of the kernel that Go's network poller waits for like a connection. Go's own timers go through
// that poller in whole milliseconds, which would be all of the latency of a fast server.
type kernelAlarm struct {
	file *os.File
	fd   int
	buf  [8]byte
}

// newAlarm falls back to Go's timers where the kernel gives none.
func newAlarm() alarm {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return newTimerAlarm()
	}
	return &kernelAlarm{file: os.NewFile(uintptr(fd), "timer"), fd: fd}
}

func (a *kernelAlarm) wait(ctx context.Context, at time.Time) error {
	d := time.Until(at)
	if d <= 0 {
		return ctx.Err()
	}
	stop := context.AfterFunc(ctx, func() { a.file.SetReadDeadline(time.Now()) }) // ends the Read below
	defer stop()
	set := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if err := unix.TimerfdSettime(a.fd, 0, &set, nil); err != nil {
		return err
	}
	if _, err := a.file.Read(a.buf[:]); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return err
	}
	return nil
}

func (a *kernelAlarm) close() { a.file.Close() }

// cpuTime is the time that this process has computed so far.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
