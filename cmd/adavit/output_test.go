package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// TestControlCharactersAreVisible: the name of a file cannot steer the terminal, neither on standard error nor in JSON,
// where it stays the same name.
func TestControlCharactersAreVisible(t *testing.T) {
	name := t.TempDir() + "/no\x1b[2Jthing\u009b.png"
	for _, form := range []string{"--json", "--threads=1"} {
		var out, errs bytes.Buffer
		run(context.Background(), []string{"classify", "--model", "fashion-adaptive", form, name}, nil, &out, &errs)
		for stream, text := range map[string]string{"out": out.String(), "err": errs.String()} {
			if strings.ContainsAny(text, "\x1b\u009b") || stream == "err" && !strings.Contains(text, `no\u001b[2Jthing\u009b`) {
				t.Errorf("%s, standard %s: %q", form, stream, text)
			}
		}
		var got classification
		if form == "--json" && (json.Unmarshal(out.Bytes(), &got) != nil || got.Images[0].File != name) {
			t.Errorf("JSON says %q, want the file %q", out.String(), name)
		}
	}
}
