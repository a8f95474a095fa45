package halting

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/config.golden anew")

// TestConfigGolden holds what is read of a "halting" object, how it is written and what people see of it. The cases
// stand in testdata/config.golden, each with what came of it.
func TestConfigGolden(t *testing.T) {
	const path = "testdata/config.golden"
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(file)) {
		if text, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "read "); ok {
			b.WriteString(line)
			var c Config
			if err := json.Unmarshal([]byte(text), &c); err != nil {
				fmt.Fprintf(&b, "\terror %v\n", err)
				continue
			}
			written, err := json.Marshal(c)
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			indented, _ := json.MarshalIndent(struct {
				Halting *Config `json:"halting,omitempty"`
			}{&c}, "", " ")
			fmt.Fprintf(&b, "\twritten %s\n\tcalled %s\n", written, c)
			fmt.Fprintf(&b, "\tindented %s\n", strings.ReplaceAll(string(indented), "\n", "␤"))
			for _, layers := range []int{1, 12} {
				if err := c.ValidateFor(layers); err != nil {
					fmt.Fprintf(&b, "\tof %d blocks: %v\n", layers, err)
				}
			}
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got := b.String(); got != string(file) {
		for i, line := range strings.Split(got, "\n") {
			if want := strings.Split(string(file), "\n"); i >= len(want) || line != want[i] {
				t.Fatalf("%s:%d: got\n%s", path, i+1, line)
			}
		}
		t.Fatalf("%s has more lines than came out", path)
	}
}
