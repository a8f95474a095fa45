package browser

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long anything in the page may take.
const patience = 30 * time.Second

// screen is what a page is looked at with.
type screen struct {
	name               string
	width, height      int64
	phone, dark, still bool // still: with little motion
}

var desk = screen{name: "desk", width: 1280, height: 900, still: true}

// tab is a page in Chromium, watched: it may talk to its own server alone, and must not complain.
type tab struct {
	*testing.T
	ctx context.Context

	mu         sync.Mutex
	requests   []string // but for data: and blob:
	complaints []string // of the console
	expected   []string // complaints that contain one of these are what the test is about
}

// chromium returns the browser to use, or skips the test.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium here: install it, or name one in CHROMIUM")
	return ""
}

// server returns the server to test and its address: one that is played, or nil and the one named in ADAVIT_SERVER.
func server(t *testing.T) (*fake, string) {
	if at := os.Getenv("ADAVIT_SERVER"); at != "" {
		return nil, strings.TrimSuffix(at, "/")
	}
	return newFake(t)
}

// played returns a fake server for a test of what a server only does sometimes.
func played(t *testing.T) (*fake, string) {
	if os.Getenv("ADAVIT_SERVER") != "" {
		t.Skip("a real server cannot be told to do this")
	}
	return newFake(t)
}

// open shows the page at an address, once it has a list of models or asks for a key.
func open(t *testing.T, at string, s screen) *tab {
	t.Helper()
	path := chromium(t)
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, leave := chromedp.NewContext(allocator)
	t.Cleanup(leave)
	b := &tab{T: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	var end context.CancelFunc
	b.ctx, end = context.WithTimeout(ctx, 4*patience)
	t.Cleanup(end)
	t.Cleanup(func() { b.judge(at) })

	scheme, motion := "light", "no-preference"
	if s.dark {
		scheme = "dark"
	}
	if s.still {
		motion = "reduce"
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: s.width, Height: s.height, DeviceScaleFactor: 1, Mobile: s.phone})
	call(b, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: s.phone})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion}}})
	b.load(at)
	return b
}

// load goes to the page, and enters the key of a server that wants one.
func (b *tab) load(at string) {
	b.Helper()
	b.do(chromedp.Navigate(at + "/"))
	if key := os.Getenv("ADAVIT_KEY"); key != "" {
		b.expect("401")
		b.until("the form for a key", `!$("#key-form").hidden`)
		b.do(chromedp.SendKeys(chromedp.CSS("#key"), key+"\r"))
	}
}

// listen takes down what the page asks for and complains about.
func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if u := e.Request.URL; !strings.HasPrefix(u, "data:") && !strings.HasPrefix(u, "blob:") {
			b.requests = append(b.requests, u)
		}
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += ": " + e.ExceptionDetails.Exception.Description
		}
		b.complaints = append(b.complaints, text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.complaints = append(b.complaints, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

// judge fails the test if the page asked another host for anything, or complained.
func (b *tab) judge(at string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	own, err := url.Parse(at)
	if err != nil {
		b.Fatal(err)
	}
	if len(b.requests) == 0 {
		b.Error("no request seen: the test watches nothing")
	}
	for _, r := range b.requests {
		if u, err := url.Parse(r); err != nil || u.Host != own.Host {
			b.Errorf("the page asked for %s, which is not on its host %s", r, own.Host)
		}
	}
	for _, c := range b.complaints {
		if !slices.ContainsFunc(b.expected, func(e string) bool { return strings.Contains(c, e) }) {
			b.Errorf("the browser complains: %s", c)
		}
	}
}

// expect allows a complaint of the browser.
func (b *tab) expect(complaint string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, complaint)
}

// do does what is to be done in the tab.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// click clicks the first element that a selector finds.
func (b *tab) click(selector string) {
	b.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// call sends a command to the browser.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.Helper()
	r, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// eval returns the value of a script's expression, or of its promise, in which $ and $$ find elements by selectors.
func eval[T any](b *tab, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](`(($, $$) => `+expression+`)(s => document.querySelector(s),
		s => [...document.querySelectorAll(s)])`, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for a script to be true.
func (b *tab) until(what, script string) {
	b.Helper()
	for begin := time.Now(); !eval[bool](b, "!!("+script+")"); time.Sleep(30 * time.Millisecond) {
		if time.Since(begin) > patience {
			b.Fatalf("%s did not come (%s); the page says:\n%s", what, script, eval[string](b, `document.body.innerText`))
		}
	}
}

// press presses keys one after the other: of kb, or letters.
func (b *tab) press(keys ...string) {
	b.Helper()
	for _, k := range keys {
		b.do(chromedp.KeyEvent(k))
	}
}

// files writes the canned pictures, and others by name and content, into a folder.
func files(t *testing.T, c *canned, others map[string]string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, content []byte) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	for _, p := range c.Pictures {
		write(p.Name, p.PNG)
	}
	for name, content := range others {
		write(name, []byte(content))
	}
	return paths
}

// drop drops files onto the middle of the page, as from a folder beside it.
func (b *tab) drop(paths []string) {
	b.Helper()
	data := &input.DragData{Items: []*input.DragDataItem{}, Files: paths, DragOperationsMask: 1}
	for _, kind := range []input.DispatchDragEventType{"dragEnter", "dragOver", "drop"} {
		call(b, input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: 300, Y: 300, Data: data})
	}
}

// settled waits until all cards have their answers, so many of them.
func (b *tab) settled(cards int) {
	b.Helper()
	b.until("answers", `$$(".card").length === `+itoa(cards)+` && $$(".card[aria-busy=true]").length === 0`)
}
