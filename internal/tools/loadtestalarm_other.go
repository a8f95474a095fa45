//go:build !linux

package tools

import "time"

func newAlarm() alarm { return newTimerAlarm() }

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
