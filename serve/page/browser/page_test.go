package browser

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var itoa = strconv.Itoa

// slide moves a range as a hand does: to a share of its way.
func (b *tab) slide(selector string, share float64) {
	b.Helper()
	box := eval[map[string]float64](b, `(r => { r.scrollIntoView({ block: "center" }); return r.getBoundingClientRect().toJSON();
		})($("`+selector+`"))`)
	b.do(chromedp.MouseClickXY(box["left"]+10+share*(box["width"]-20), box["top"]+box["height"]/2))
}

// costs returns the token-blocks that the cards show.
func (b *tab) costs() []string {
	b.Helper()
	return eval[[]string](b, `$$(".card .cost tr:nth-child(2) td:nth-child(2)").map(e => e.textContent)`)
}

// TestPictures drops three pictures, moves the budget, reads the depth maps block by block, and removes the pictures.
func TestPictures(t *testing.T) {
	f, at := server(t)
	b := open(t, at, desk)
	b.until("the models", `$("#model").options.length >= 1 && !$("#model").disabled`)
	b.drop(files(t, readCanned(t), nil))
	b.settled(3)

	names := eval[[]string](b, `$$(".card h3").map(e => e.textContent)`)
	if strings.Join(names, " ") != "ankle-boot.png pullover.png bag.png" {
		t.Errorf("cards %q", names)
	}
	if first := eval[[]string](b, `$$(".card .top5 li:first-child .name").map(e => e.textContent)`); strings.Join(first,
		", ") != "Ankle boot, Pullover, Bag" {
		t.Errorf("most probable classes %q", first)
	}
	if n := eval[int](b, `$$(".card .top5 li").length`); n != 15 {
		t.Errorf("%d classes in three cards, want 15", n)
	}
	b.until("the words read aloud", `$("#said").textContent.startsWith("3\u00a0pictures done. ankle-boot.png: Ankle boot")`)
	b.until("the legend", `!$("#legend").hidden && $$("#legend-swatches i").length >= 12`)
	b.until("the dense model's time", `$$(".card .cost .guess").every(e => e.textContent === "")`)

	// Another budget: all pictures anew, one request each after the slider came to rest.
	before, asked := b.costs(), len(b.classified())
	b.slide("#budget", 0)
	b.until("other costs", `$$(".card .cost tr:nth-child(2) td:nth-child(2)")[0].textContent !== "`+before[0]+`"`)
	b.settled(3)
	for i, after := range b.costs() {
		x, _ := strconv.Atoi(before[i])
		if y, _ := strconv.Atoi(after); !(y > 0 && y < x) {
			t.Errorf("%s: the least budget costs %s token-blocks, the default %s", names[i], after, before[i])
		}
	}
	after := b.classified()[asked:]
	for _, q := range after {
		if q.Get("compute_budget") == "" && q.Get("compute_budget_max") == "" {
			t.Errorf("a request without the budget: %v", q)
		}
	}
	if len(after) != 3 {
		t.Errorf("%d requests for three pictures and one budget", len(after))
	}
	if f != nil && !strings.Contains(eval[string](b, `$(".card .small").textContent`), "as you asked") {
		t.Error("the card does not say whose budget it was")
	}
	b.click("#budget-default")
	b.until("the default's costs", `$$(".card .cost tr:nth-child(2) td:nth-child(2)")[0].textContent === "`+before[0]+`"`)
	b.settled(3)

	// Through the blocks.
	whole := b.canvas()
	b.slide(".card .blocks input", 0.5)
	b.until("a block's words", `/^block 6: \d+ of \d+ patches still run/.test($(".card figure:last-child figcaption").textContent)`)
	if b.canvas() == whole {
		t.Error("block 6 looks like the map of all blocks")
	}
	if n := eval[int](b, `$(".card .running").children.length`); n != 13 {
		t.Errorf("%d bars over the slider of 12 blocks and the map", n)
	}

	b.click(".card .close")
	b.until("two cards", `$$(".card").length === 2 && document.activeElement.matches(".card .close")`)
	b.click("#clear")
	b.until("no card", `$$(".card").length === 0 && !$("#empty").hidden && $("#facts").hidden`)
}

// canvas is the first depth map's picture.
func (b *tab) canvas() string {
	b.Helper()
	return eval[string](b, `$(".card figure:last-child canvas").toDataURL()`)
}

// classified returns the queries of the page's requests to classify.
func (b *tab) classified() (list []url.Values) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.requests {
		if u, err := url.Parse(r); err == nil && strings.HasSuffix(u.Path, "/v1/classify") {
			list = append(list, u.Query())
		}
	}
	return list
}

// TestMap looks at the colours of the map: patches of one depth have one colour over white ground, and the legend has
// the same.
func TestMap(t *testing.T) {
	_, at := server(t)
	b := open(t, at, desk)
	b.until("the models", `!$("#model").disabled`)
	b.expect("Canvas2D: Multiple readback") // by this test
	b.drop(files(t, readCanned(t), nil)[:1])
	b.settled(1)
	colors := eval[int](b, `new Set((() => { const c = $(".card figure:last-child canvas"), p = c.getContext("2d");
		return Array.from({ length: 49 }, (_, k) => String(p.getImageData((k % 7 + 0.1) * c.width / 7,
			(Math.floor(k / 7) + 0.1) * c.height / 7, 1, 1).data)); })()).size`)
	if colors < 4 {
		t.Errorf("%d colours in a map of several depths", colors)
	}
	label := eval[string](b, `$(".card figure:last-child canvas").getAttribute("aria-label")`)
	if !strings.HasPrefix(label, "Depth map: 49 patches ran in ") {
		t.Errorf("the map is named %q", label)
	}
}

// TestLive watches the chart: it goes on each second, stops when told, and says what it shows.
func TestLive(t *testing.T) {
	_, at := server(t)
	b := open(t, at, desk)
	b.until("a chart", `$$("#charts svg").length === 3`)
	b.until("the state", `$("#state").textContent === "ready"`)
	line := `$("#charts svg .line.c0")?.getAttribute("d") ?? ""`
	b.until("a line", `(`+line+`).split("L").length >= 3`)
	if label := eval[string](b, `$("#charts svg").getAttribute("aria-label")`); !strings.HasPrefix(label,
		"Load of the last two minutes, 0 to ") {
		t.Errorf("the chart is named %q", label)
	}
	b.click("#pause")
	rests := func() bool {
		before := eval[string](b, line)
		time.Sleep(1500 * time.Millisecond)
		return eval[string](b, line) == before
	}
	if !rests() && !rests() { // one answer may have been under way
		t.Error("the chart goes on though it was told to stop")
	}
	before := eval[string](b, line)
	b.click("#pause")
	b.until("the chart to go on", `(`+line+`) !== "`+before+`"`)
}

// TestHidden: a page that nobody looks at asks for nothing.
func TestHidden(t *testing.T) {
	f, at := played(t)
	b := open(t, at, desk)
	b.until("the state", `$("#state").textContent === "ready"`)
	polls := func() (n int) {
		f.set(func() { n = f.polls })
		return n
	}
	rests := func() bool {
		before := polls()
		time.Sleep(2200 * time.Millisecond)
		return polls() == before
	}
	eval[bool](b, `Object.defineProperty(document, "hidden", { value: true, configurable: true }) && true`)
	if !rests() && !rests() {
		t.Error("the page asks for the load while it is hidden")
	}
	before := polls()
	eval[bool](b, `delete document.hidden && document.dispatchEvent(new Event("visibilitychange"))`)
	for begin := time.Now(); polls() == before; time.Sleep(30 * time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatal("the page that is seen again does not ask for the load")
		}
	}
}

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
	if text := eval[string](b, `$("#budget").getAttribute("aria-valuetext")`); !strings.HasSuffix(text, "of the dense model's work") {
		t.Errorf("the slider says %q", text)
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

// TestRestart: a server that begins anew may have other models, which the page asks for.
func TestRestart(t *testing.T) {
	f, at := played(t)
	f.begin = time.Now().Add(-time.Hour)
	b := open(t, at, desk)
	b.until("the ladder and the time", `$("#ladder").checkVisibility() && $("#live-words").textContent.includes("up 1")`)
	f.set(func() { f.begin, f.bare = time.Now(), true })
	b.until("the other model", `!$("#ladder").checkVisibility() && !$("#model").disabled`)
}

// TestSamples begins with a picture that the page brings along.
func TestSamples(t *testing.T) {
	f, at := played(t)
	b := open(t, at, desk)
	b.until("samples", `$("#samples").checkVisibility()`)
	for i, p := range f.Pictures {
		if eval[int](b, `$$("#samples button").length`) != len(f.Pictures) {
			t.Fatal("there are other samples")
		}
		b.click(`#samples button:nth-child(` + itoa(i+1) + `)`)
		b.settled(1)
		if id := eval[string](b, `document.activeElement.id`); id != "results" {
			t.Errorf("the keyboard goes on at %q", id)
		}
		if name, class := eval[string](b, `$(".card h3").textContent`), eval[string](b, `$(".card .name").textContent`); name !=
			p.Name || class != p.Default.Top[0].Label {
			t.Errorf("sample %d is %s, a %s; want %s", i, name, class, p.Name)
		}
		b.click(".card .close")
	}
}

// TestPaste pastes a picture.
func TestPaste(t *testing.T) {
	f, at := played(t)
	b := open(t, at, desk)
	b.until("the models", `!$("#model").disabled`)
	data := "[" + strings.Trim(strings.Join(strings.Fields(bytesOf(f.Pictures[1].PNG)), ","), ",") + "]"
	eval[bool](b, `(() => { const t = new DataTransfer();
		t.items.add(new File([new Uint8Array(`+data+`)], "image.png", { type: "image/png" }));
		return document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: t, bubbles: true })); })()`)
	b.settled(1)
	if name := eval[string](b, `$(".card .top5 .name").textContent`); name != "Pullover" {
		t.Errorf("the pasted picture is a %q", name)
	}
}

func bytesOf(b []byte) string {
	var s strings.Builder
	for _, v := range b {
		s.WriteString(itoa(int(v)) + " ")
	}
	return s.String()
}

// TestRefusals: a file that is no picture, a busy server and one that is gone are told in words, and trying again works.
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
	if text := fault(1); fault(0) != "" || text != "Not a JPEG, PNG, GIF, WebP, BMP or TIFF file." {
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
	if stored := eval[int](b, `localStorage.length + sessionStorage.length + document.cookie.length`); stored != 0 {
		t.Error("the page stores something")
	}
}

// TestCap: a model without a ladder is capped instead, and its dense time follows from the multiply-adds.
func TestCap(t *testing.T) {
	f, at := played(t)
	f.bare = true
	b := open(t, at, desk)
	b.until("the models", `!$("#model").disabled`)
	b.drop(files(t, f.canned, nil)[:1])
	b.settled(1)
	b.slide("#budget", 0.3)
	b.until("a cap", `$(".card .body > .small").textContent.includes("No more than ")`)
	b.settled(1)
	if q := f.queries(); !strings.Contains(strings.Join(q, " "), "depth=json&compute_budget_max=0.") {
		t.Errorf("asked %q", q)
	}
	if !strings.Contains(eval[string](b, `$("#budget-about").textContent`), "adavit calibrate") {
		t.Error("the page does not say how to get a ladder")
	}
}
