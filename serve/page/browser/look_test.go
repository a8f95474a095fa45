package browser

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// screens are what the page has to look well on.
var screens = []screen{
	{name: "desk-light", width: 1280, height: 900},
	{name: "desk-dark", width: 1280, height: 900, dark: true},
	{name: "phone-light", width: 390, height: 844, phone: true},
	{name: "phone-dark", width: 390, height: 844, phone: true, dark: true},
}

// TestFits: nothing is wider than the screen, and what can be touched is large enough for a finger.
func TestFits(t *testing.T) {
	for _, s := range append(screens, screen{name: "small", width: 320, height: 568, phone: true},
		screen{name: "tablet", width: 820, height: 1180, phone: true}) {
		t.Run(s.name, func(t *testing.T) {
			_, at := server(t)
			b := open(t, at, s)
			b.until("the models", `!$("#model").disabled`)
			b.do(chromedp.SetUploadFiles(chromedp.CSS("#files"), files(t, readCanned(t), nil)))
			b.settled(3)
			if w := eval[int64](b, `document.documentElement.scrollWidth`); w > s.width {
				t.Errorf("the page is %d pixels wide, the screen %d", w, s.width)
			}
			small := eval[[]string](b, `$$("button, select, input, a").filter(e => e.checkVisibility()).map(e =>
				[e, e.getBoundingClientRect()]).filter(([e, r]) => r.width && (r.width < 24 || r.height < 24) &&
				!e.matches("footer a, .skip")).map(([e]) => e.outerHTML)`)
			for _, e := range small {
				t.Errorf("too small to touch: %s", e)
			}
			if s.phone != eval[bool](b, `$("#photograph").checkVisibility()`) {
				t.Error("the camera belongs on phones, and there alone")
			}
		})
	}
}

// TestScreenshots writes pictures of the page to the folder ADAVIT_SCREENSHOTS.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("ADAVIT_SCREENSHOTS")
	if dir == "" {
		t.Skip("ADAVIT_SCREENSHOTS names no folder for pictures")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, s := range screens {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			_, at := server(t)
			b := open(t, at, s)
			shot := func(name string) {
				b.do(chromedp.Sleep(time.Second)) // for colours that change softly
				img, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, s.name+"-"+name+".png"), img, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b.until("the models", `!$("#model").disabled`)
			shot("empty")
			b.do(chromedp.SetUploadFiles(chromedp.CSS("#files"), files(t, readCanned(t), map[string]string{
				"a letter.txt": "not a picture"})))
			b.expect("")
			b.settled(4)
			b.slide(".card:nth-child(2) .blocks input", 0.5)
			b.do(chromedp.Sleep(15 * time.Second)) // for the chart
			eval[chromedp.Void](b, `scrollTo(0, 0)`)
			shot("pictures")
		})
	}
}
