package adavit

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/adavit/adavit/internal/kernels"
)

// machine describes in a line what a run ran on.
func machine(threads int) string {
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
