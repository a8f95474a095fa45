// Package machine names what figures were measured on.
package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/adavit/adavit/internal/kernels"
)

// Describe says in a line what a run ran on: processor, threads, kernels.
func Describe(threads int) string {
	name := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil { // elsewhere the architecture must do
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	s := "s"
	if threads == 1 {
		s = ""
	}
	return fmt.Sprintf("%s, %d thread%s, %s kernels", name, threads, s, kernels.Path())
}
