package browser

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// axePackage is the version of axe-core, Deque's rules of accessibility, that is fetched from npm and not kept.
const axePackage = "axe-core@4.14.1"

// axe returns the script of axe-core, or skips the test.
func axe(t *testing.T) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("no npm here, which would fetch ", axePackage)
	}
	dir := t.TempDir()
	fetch := exec.Command(npm, "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", axePackage)
	if out, err := fetch.CombinedOutput(); err != nil {
		t.Skipf("npm cannot fetch %s: %v\n%s", axePackage, err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// finding is a rule of axe-core that an element breaks.
type finding struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// TestAccessible has axe-core look at the page as it is at first, with pictures, with an error and with a form for a
// key, in light and dark: no rule of WCAG 2.2 AA is broken, nor any other that axe-core calls serious.
func TestAccessible(t *testing.T) {
	chromium(t)
	script := axe(t)
	for _, s := range screens {
		t.Run(s.name, func(t *testing.T) {
			f, at := server(t)
			b := open(t, at, s)
			b.expect("401")
			b.expect("415")
			b.expect("422")
			b.expect("Canvas2D: Multiple readback") // by axe-core
			call(b, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true})
			b.load(at)
			look := func(when string) {
				t.Helper()
				b.until("rest", `document.getAnimations().length === 0`)
				b.do(chromedp.Evaluate[chromedp.Void](script))
				found := eval[[]finding](b, `axe.run(document, { resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa",
					"wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }).then(r => r.violations)`)
				for _, v := range found {
					for _, n := range v.Nodes {
						t.Errorf("%s: %s, %s: %s\n%s\n%s", when, v.ID, v.Impact, v.Help, n.HTML, n.Summary)
					}
				}
			}
			b.until("the models", `!$("#model").disabled`)
			look("at first")
			paths := files(t, readCanned(t), map[string]string{"a.txt": "no picture"})
			b.do(chromedp.SetUploadFiles(chromedp.CSS("#files"), paths))
			b.settled(4)
			look("with pictures")
			b.slide(".card .blocks input", 0.5)
			look("within a block")
			if f == nil {
				return
			}
			f.set(func() { f.key = "sesame" })
			b.until("the form for a key", `!$("#key-form").hidden`)
			look("with a form for a key")
		})
	}
}
