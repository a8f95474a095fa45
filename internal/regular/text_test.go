package regular

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	const want = "K\u00e4se \U0001F9C0\r\n"
	for _, b := range []string{want, "\xef\xbb\xbf" + want,
		"\xff\xfeK\x00\xe4\x00s\x00e\x00 \x00\x3e\xd8\xc0\xdd\r\x00\n\x00",
		"\xfe\xff\x00K\x00\xe4\x00s\x00e\x00 \xd8\x3e\xdd\xc0\x00\r\x00\n"} {
		if got, err := Text([]byte(b)); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", b, got, err)
		}
	}
	for b, want := range map[string]string{"K\xe4se": "save it so", "a\x00b": "zero bytes", "\xff\xfea": "save it so",
		"\xff\xfea\x00\x00\x00": "zero bytes"} {
		if _, err := Text([]byte(b)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", b, err, want)
		}
	}
	if got, err := Text(nil); err != nil || len(got) > 0 {
		t.Errorf("nothing: %q, %v", got, err)
	}
}
