package browser

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestRefusals: a file that is no picture, a busy server and one that is gone are told in words; trying again works.
func TestRefusals(t *testing.T) {
	f, at := played(t)
	b := open(t, at, desk)
	for _, c := range []string{"415", "503", "ERR_CONNECTION_REFUSED"} {
		b.expect(c)
	}
	b.until("the models", `!$("#model").disabled`)
	paths := files(t, f.canned, map[string]string{"notes.txt": "not a picture"})
	b.drop(paths[2:])
	b.settled(2)
	fault := func(i int) string {
		return eval[string](b, `(e => e.hidden ? "" : e.textContent)($$(".card .fault")[`+itoa(i)+`])`)
	}
	if text := fault(1); fault(0) != "" || text != "Not a JPEG, PNG, GIF, WebP, BMP, TIFF or PNM file." {
		t.Errorf("the picture's fault is %q, the text's %q", fault(0), text)
	}
	f.set(func() { f.busy = true })
	b.slide("#budget", 0.2)
	b.until("a refusal", `!$(".card .fault").hidden`)
	if text := fault(0); text != "1024 images wait already. There may be room in 2\u00a0seconds." {
		t.Errorf("a busy server: %q", text)
	}
	b.settled(2)
	f.set(func() { f.busy = false })
	b.click(".card .fault + button")
	b.until("an answer", `$(".card .fault").hidden && !$(".card .body").hidden`)
	b.until("the focus", `document.activeElement === $(".card .close")`)
	f.set(func() { f.draining = true })
	b.until("the state", `$("#state").textContent.startsWith("draining")`)
	f.stop()
	b.until("the state", `$("#state").textContent === "no answer"`)
	b.slide("#budget", 0.8)
	b.until("a refusal", `$(".card .fault").textContent.startsWith("The server cannot be reached.")`)
}

// TestKey enters a key that the server does not know, and then the right one, which the page stores nowhere.
func TestKey(t *testing.T) {
	f, at := played(t)
	f.key = "sesame"
	b := open(t, at, desk)
	b.expect("401")
	b.until("the form for a key", `!$("#key-form").hidden && document.activeElement.id === "key"`)
	b.press("w", "r", "o", "n", "g", kb.Enter)
	b.until("a refusal", `!$("#key-form").hidden && $("#key-why").textContent === "The server does not know this key."`)
	b.press("s", "e", "s", "a", "m", "e", kb.Enter)
	b.until("the models", `$("#key-form").hidden && !$("#model").disabled`)
	b.drop(files(t, f.canned, nil)[:1])
	b.settled(1)
	b.until("an answer", `$(".card .fault").hidden`)
	eval[bool](b, `!!(window.open = () => window.shown = {}, URL.createObjectURL = blob => window.blob = blob)`)
	b.click("#metrics")
	b.until("the metrics", `!!window.shown?.location`)
	if text := eval[string](b, `window.blob.text()`); text != "up 1\n" {
		t.Errorf("metrics %q", text)
	}
	if stored := eval[int](b, `localStorage.length + sessionStorage.length + document.cookie.length`); stored != 0 {
		t.Error("the page stores something")
	}
}
