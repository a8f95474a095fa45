package browser

import (
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

var itoa = strconv.Itoa

// slide moves a range as a hand does: to a share of its way.
func (b *tab) slide(selector string, share float64) {
	b.Helper()
	box := eval[map[string]float64](b, `(r => { r.scrollIntoView({ block: "center" });
		return r.getBoundingClientRect().toJSON(); })($("`+selector+`"))`)
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
	b.until("the words read aloud",
		`$("#said").textContent.startsWith("3\u00a0pictures done. ankle-boot.png: Ankle boot, ")`)
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
	b.until("a block's words",
		`/^block 6: \d+ of \d+ patches still run/.test($(".card figure:last-child figcaption").textContent)`)
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
		name, class := eval[string](b, `$(".card h3").textContent`), eval[string](b, `$(".card .name").textContent`)
		if name != p.Name || class != p.Default.Top[0].Label {
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
