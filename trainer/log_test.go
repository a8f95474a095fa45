package trainer

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamagedLog reads a log that crashes and a careless hand have been at: what is whole is found, and trimmed it is
// whole again.
func TestDamagedLog(t *testing.T) {
	dir := t.TempDir()
	text := strings.Join([]string{
		`{"epoch":1,"step":10,"loss":2}`,
		"\x00\x00\x00\x00\x00", // what some file systems leave of an append after a power cut
		`{"epoch":2,"step":20,"lo`,
		`{"epoch":3,"step":30,"loss":"much"}`,
		strings.Repeat("x", maxLine) + `{"epoch":9,"step":90}`,
		strings.Repeat("x", 2*maxLine),
		``,
		`{"epoch":4,"step":40,"loss":1,"test":{"top1":50}}`,
		`{"epoch":5,"step":50,"loss":1}`,
		`{"epoch":6,"step":60,"loss":1}`, // without an end: perhaps not all of it
	}, "\n")
	if err := os.WriteFile(logPath(dir), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	epochs := func() (list []int) {
		entries, err := ReadLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, e.Epoch)
		}
		return list
	}
	if got := epochs(); len(got) != 3 || got[0] != 1 || got[1] != 4 || got[2] != 5 {
		t.Errorf("epochs %v, want 1, 4 and 5", got)
	}
	j, kept, err := openLines(logPath(dir), func(e Entry) bool { return e.Step <= 40 })
	if err != nil || len(kept) != 2 {
		t.Fatal(kept, err)
	}
	defer j.Close()
	if err := addLine(j, Entry{Epoch: 7}); err != nil {
		t.Fatal(err)
	}
	if got := epochs(); len(got) != 3 || got[1] != 4 || got[2] != 7 {
		t.Errorf("epochs %v, want 1, 4 and 7", got)
	}
	if b, err := os.ReadFile(logPath(dir)); err != nil || bytes.Count(b, []byte("\n")) != 3 {
		t.Errorf("%q, %v: want three lines", b, err)
	}
	if entries, err := readLines[StepEntry](filepath.Join(dir, "nowhere")); err != nil || entries != nil {
		t.Errorf("no log: %v, %v", entries, err)
	}
}

// FuzzReadLog: no content of a log makes reading it fail.
func FuzzReadLog(f *testing.F) {
	f.Add([]byte("{\"epoch\":1,\"layer_scores\":[1e308,2]}\n[]\nnull\n"))
	f.Add([]byte("{\"test\":{\"top1\":1e999}}\n\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(logPath(dir), text, 0o666); err != nil {
			t.Fatal(err)
		}
		entries, err := ReadLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		f, _, err := openLines(logPath(dir), func(Entry) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		if again, err := ReadLog(dir); err != nil || len(again) != len(entries) {
			t.Errorf("%d entries, trimmed %d, %v", len(entries), len(again), err)
		}
	})
}
