// Package systemd is a service's side of systemd: sockets that it opened beforehand, and messages about the service's
// state. Without systemd there are no sockets, and nobody is told. The protocols are those of sd_listen_fds(3) and
// sd_notify(3).
package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Sockets returns the listeners that systemd handed over, by the names that their socket units give them
// (FileDescriptorName=); a unit with several addresses has as many under one name. Other names than the given ones are
// an error: nobody would answer there. Call it once, before children are started: it takes the sockets out of the
// environment.
func Sockets(names ...string) (map[string][]net.Listener, error) {
	sockets := map[string][]net.Listener{}
	var errs []error
	for _, f := range activation.Files(true) {
		name := f.Name()
		if !slices.Contains(names, name) {
			f.Close()
			errs = append(errs, fmt.Errorf("systemd passes a socket named %q: FileDescriptorName= of its unit must be %s", name,
				strings.Join(names, ", ")))
			continue
		}
		l, err := net.FileListener(f) // of a copy
		f.Close()
		if err != nil {
			errs = append(errs, fmt.Errorf("socket %q of systemd: %w (want ListenStream=)", name, err))
			continue
		}
		sockets[name] = append(sockets[name], l)
	}
	if err := errors.Join(errs...); err != nil {
		for _, list := range sockets {
			for _, l := range list {
				l.Close()
			}
		}
		return nil, err
	}
	return sockets, nil
}

// Ready says that the service answers, for the first time or again after Reloading. The status is a line for people,
// which `systemctl status` shows.
func Ready(status string) error {
	return notify(daemon.SdNotifyReady + "\nSTATUS=" + strings.ReplaceAll(status, "\n", " "))
}

// Reloading says that the service reads its files anew; Ready says when that is over, whether it went well or not.
func Reloading() error {
	return notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping says that the service answers what it has begun, and then ends.
func Stopping() error { return notify(daemon.SdNotifyStopping) }

// Watchdog tells systemd that the service is well, twice as often as WatchdogSec= wants it, until ctx ends. If well
// returns an error or does not return, systemd hears nothing, and kills the service when the time is over. Without a
// watchdog it returns at once.
func Watchdog(ctx context.Context, well func(context.Context) error) error {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return err
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		if well(ctx) == nil {
			if err := notify(daemon.SdNotifyWatchdog); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func notify(state string) error {
	_, err := daemon.SdNotify(false, state)
	if err != nil {
		return fmt.Errorf("systemd could not be told: %w", err)
	}
	return nil
}
