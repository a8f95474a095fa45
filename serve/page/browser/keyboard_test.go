package browser

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestKeyboard does everything with the keyboard alone: chooses pictures, a budget, a block.
func TestKeyboard(t *testing.T) {
	_, at := server(t)
	b := open(t, at, desk)
	b.until("the models", `!$("#model").disabled`)
	focus := func(selector string) {
		t.Helper()
		for range 40 {
			if eval[bool](b, `document.activeElement.matches("`+selector+`")`) {
				if style := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`); style == "none" {
					t.Errorf("%s has the focus and does not show it", selector)
				}
				return
			}
			b.press(kb.Tab)
		}
		t.Fatalf("the Tab key does not lead to %s", selector)
	}
	focus(".skip")
	focus("#choose")
	eval[chromedp.Void](b, `$("#files").addEventListener("click", e => { e.preventDefault(); window.opened = true; })`)
	b.press(kb.Enter)
	b.until("the dialogue for files", `window.opened`)
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#files"), files(t, readCanned(t), nil)))
	b.settled(3)

	focus("#model")
	focus("#budget")
	before := b.costs()[0]
	b.press(kb.Home)
	b.until("other costs", `$$(".card .cost tr:nth-child(2) td:nth-child(2)")[0].textContent !== "`+before+`"`)
	said := eval[string](b, `$("#budget").getAttribute("aria-valuetext")`)
	if !strings.HasSuffix(said, "of the dense model's work") {
		t.Errorf("the slider says %q", said)
	}
	b.settled(3)
	focus("#budget-default")
	b.press(kb.Enter)
	b.until("the focus at the slider", `document.activeElement.id === "budget"`)
	focus(".card .blocks input")
	b.press(kb.ArrowRight)
	b.until("a block", `document.activeElement.getAttribute("aria-valuetext").startsWith("block 1: ")`)
	b.settled(3)
	b.press(kb.End)
	b.until("the last block", `document.activeElement.value === document.activeElement.max`)
}
