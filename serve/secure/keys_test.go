package secure

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	inferKey = "0123456789abcdef"
	adminKey = "ABCDEFGHIJKLMNOP-._~+/=="
)

func TestParseKeys(t *testing.T) {
	var many strings.Builder
	for i := range maxKeys + 1 {
		fmt.Fprintf(&many, "infer %032d\n", i)
	}
	for _, c := range []struct{ name, text, want string }{
		{"both scopes", "# made in May\n\n  infer\t" + inferKey + "  \r\nadmin " + adminKey, ""},
		{"nothing", "", "no key in it"},
		{"comments only", "# infer " + inferKey + "\n", "no key in it"},
		{"a key alone", inferKey + "\n", "line 1 has 1 words"},
		{"too many words", "infer " + inferKey + " # mine\n", "line 1 has 4 words"},
		{"another scope", "\nroot " + inferKey, "line 2 begins with no scope"},
		{"scope and key swapped", inferKey + " infer", "line 1 begins with no scope"},
		{"short", "infer 0123456789abcde", "line 1: a key of 15 characters, want 16 to 256"},
		{"long", "infer " + strings.Repeat("x", 257), "line 1: a key of 257 characters"},
		{"longest", "infer " + strings.Repeat("x", 256), ""},
		{"letters of no key", "infer 0123456789abcdeé", "line 1: a key has letters"},
		{"not UTF-8", "infer 0123456789abcdef\xff", "line 1: a key has letters"},
		{"twice", "infer " + inferKey + "\nadmin " + inferKey, "line 2 has the key of line 1 again"},
		{"too many", many.String(), "more than 1024 keys"},
	} {
		_, err := parseKeys([]byte(c.text))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		case err != nil && strings.Contains(err.Error(), "0123456789"):
			t.Errorf("%s: the error tells the key: %v", c.name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	keys, _ := openKeys(t, "infer "+inferKey+"\nadmin "+adminKey+"\n")
	for _, c := range []struct {
		key   string
		scope Scope
		want  error
	}{
		{inferKey, Infer, nil}, {inferKey, Admin, ErrScope}, {adminKey, Infer, nil}, {adminKey, Admin, nil},
		{"", Infer, ErrNoKey}, {inferKey + "x", Infer, ErrWrongKey}, {inferKey[1:], Infer, ErrWrongKey},
		{strings.ToUpper(inferKey), Infer, ErrWrongKey}, {strings.Repeat("x", maxKey+1), Infer, ErrWrongKey},
	} {
		if err := keys.Check(c.key, c.scope); !errors.Is(err, c.want) {
			t.Errorf("Check(%q, %v): %v, want %v", c.key, c.scope, err, c.want)
		}
	}
	var none *Keys
	if err := errors.Join(none.Check("", Admin), none.CheckHeader(nil, Admin), none.Reload()); err != nil {
		t.Errorf("without keys: %v", err)
	}
}

func TestCheckHeader(t *testing.T) {
	keys, _ := openKeys(t, "infer "+inferKey+"\nadmin "+adminKey+"\n")
	for _, c := range []struct {
		values []string
		want   error
	}{
		{[]string{"Bearer " + adminKey}, nil}, {[]string{"bearer  " + adminKey + " "}, nil},
		{nil, ErrNoKey}, {[]string{""}, ErrNoKey}, {[]string{adminKey}, ErrNoKey}, {[]string{"Bearer "}, ErrNoKey},
		{[]string{"Basic " + adminKey}, ErrNoKey}, {[]string{"Bearer " + adminKey, "Bearer " + adminKey}, ErrNoKey},
		{[]string{"Bearer " + adminKey[1:]}, ErrWrongKey}, {[]string{"Bearer " + inferKey}, ErrScope},
	} {
		if err := keys.CheckHeader(c.values, Admin); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.values, err, c.want)
		}
	}
}

// TestKeysChange: a new file counts within a second, a damaged one leaves the old keys in force and is reported once.
func TestKeysChange(t *testing.T) {
	keys, log := openKeys(t, "infer "+inferKey+"\n")
	path := keys.kept.paths[0]
	look := func() { keys.kept.looked = time.Time{} } // as if a second had passed

	write(t, path, "infer "+adminKey+"\n")
	if err := keys.Check(inferKey, Infer); err != nil {
		t.Errorf("the file was looked at again at once: %v", err)
	}
	look()
	if keys.Check(inferKey, Infer) == nil || keys.Check(adminKey, Infer) != nil {
		t.Error("the new file does not count")
	}
	for range 3 {
		write(t, path, "nonsense")
		look()
		if err := keys.Check(adminKey, Infer); err != nil {
			t.Errorf("after a damaged file: %v", err)
		}
	}
	if err := keys.Reload(); err == nil || !strings.Contains(err.Error(), "line 1 has 1 words") {
		t.Errorf("Reload of a damaged file: %v", err)
	}
	if n := strings.Count(log.String(), "reload failed"); n != 1 {
		t.Errorf("a damaged file was reported %d times:\n%s", n, log)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look()
	if err := keys.Check(adminKey, Infer); err != nil {
		t.Errorf("after the file was removed: %v", err)
	}
	write(t, path, "infer "+inferKey+"\n")
	look()
	if err := keys.Check(inferKey, Infer); err != nil {
		t.Errorf("after the file came back: %v", err)
	}
}

// TestChangeUnderLoad: keys are checked while the file is exchanged, and one of the two files always counts.
func TestChangeUnderLoad(t *testing.T) {
	keys, _ := openKeys(t, "infer "+inferKey+"\n")
	path := keys.kept.paths[0]
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := keys.Check(adminKey, Infer); err != nil && !errors.Is(err, ErrWrongKey) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	for i := range 50 {
		next := filepath.Join(t.TempDir(), "next")
		write(t, next, fmt.Sprintf("infer %s\n", []string{inferKey, adminKey}[i%2]))
		if err := os.Rename(next, path); err != nil {
			t.Fatal(err)
		}
		if err := keys.Reload(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	if err := keys.Check(adminKey, Infer); err != nil {
		t.Errorf("after the last exchange: %v", err)
	}
}

func TestOpenKeysWarns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write(t, path, "infer "+inferKey+"\n")
	for _, c := range []struct {
		mode os.FileMode
		warn bool
	}{{0o600, false}, {0o640, false}, {0o644, true}} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		if _, err := OpenKeys(path, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "readable by all users"); got != c.warn {
			t.Errorf("mode %v: warning %t, want %t\n%s", c.mode, got, c.warn, &log)
		}
	}
	if _, err := OpenKeys(path+"s", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("no such file: %v", err)
	}
}

// FuzzKeys: whatever is in a file, parsing it does not fail otherwise than by an error, and what it accepts are keys
// that a request can bring.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("# c\ninfer "+inferKey+"\nadmin "+adminKey), inferKey)
	f.Add([]byte("infer \xff\r\n"), "")
	f.Fuzz(func(t *testing.T, text []byte, key string) {
		set, err := parseKeys(text)
		if err != nil {
			return
		}
		if len(set.scopes) == 0 || len(set.scopes) != len(set.digests) || len(set.scopes) > maxKeys {
			t.Fatalf("%d scopes, %d digests", len(set.scopes), len(set.digests))
		}
		if scope := set.scope(key); scope != 0 {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header.Set("Authorization", "Bearer "+key)
			if len(key) < minKey || len(key) > maxKey || !bytes.Contains(text, []byte(key)) {
				t.Errorf("%q is a key of scope %v", key, scope)
			}
		}
	})
}

// openKeys opens a file of that text; the log is for reading when nothing uses the keys.
func openKeys(t *testing.T, text string) (*Keys, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	write(t, path, text)
	log := new(bytes.Buffer)
	keys, err := OpenKeys(path, slog.New(slog.NewTextHandler(&lockedWriter{w: log}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return keys, log
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
