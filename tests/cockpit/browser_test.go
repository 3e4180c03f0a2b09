package cockpit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/emulation"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/virbr/virbr/tests/binaries"
)

// patience bounds what never comes about; it measures nothing.
const patience = 30 * time.Second

// shotsEnv names a directory for pictures of the page, for people to look at.
const shotsEnv = "VIRBR_COCKPIT_SHOTS"

// page is where the page is without Cockpit around it.
const page = "http://" + address + "/cockpit/@localhost/virbr/index.html"

// A browser shows the page.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// newBrowser starts Chromium, which ends with the test. What the page complains about is
// the test's failure.
func newBrowser(t *testing.T, url string) *browser {
	t.Helper()
	log := &binaries.Log{}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900), chromedp.CombinedOutput(log))
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	ctx, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() { closeTab(); stop() })
	if err := chromedp.Run(ctx); err != nil { // it ends with the context of the first run
		t.Fatalf("starting Chromium: %v\n%s", err, log)
	}
	b := &browser{t, ctx}
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *cdpruntime.EventExceptionThrown:
			t.Errorf("the page: %s", e.ExceptionDetails.Error())
		case *cdpruntime.EventConsoleAPICalled:
			if e.Type == cdpruntime.APITypeError {
				t.Errorf("the page: %s", e.Args[0].Value)
			}
		}
	})
	b.do(chromedp.Navigate(url))
	return b
}

// do does something, which comes about in time or fails the test.
func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		b.shot("failed")
		var text string
		_ = chromedp.Run(b.ctx, chromedp.Text("body", &text, chromedp.ByQuery))
		b.t.Fatalf("%v; the page shows:\n%s", err, text)
	}
}

// sees waits until a text is on the page.
func (b *browser) sees(text string) {
	b.t.Helper()
	b.until(`text => document.body.innerText.includes(text)`, text)
}

// until waits until a function of JavaScript says yes. The context of a page that is
// being loaded anew is gone for a moment (-32000 in Chromium's protocol).
func (b *browser) until(function string, args ...any) {
	b.t.Helper()
	poll := chromedp.PollFunction(function, nil, chromedp.WithPollingArgs(args...), chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience))
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		for {
			err := poll.Do(ctx)
			if gone, ok := errors.AsType[*cdproto.Error](err); !ok || gone.Code != -32000 || ctx.Err() != nil {
				return err
			}
		}
	}))
}

// find is where something is that has a name, as a screen reader finds it: in the dialog
// that is open, or on the page.
const find = `(name => [...(document.querySelector("dialog[open]") ?? document).querySelectorAll("a, button, input, select, summary")]
	.find(e => (e.getAttribute("aria-label") ?? e.labels?.[0]?.innerText ?? e.innerText).trim() === name))(%q)`

// press presses what has a name.
func (b *browser) press(name string) {
	b.t.Helper()
	b.named(name)
	b.do(chromedp.Click(fmt.Sprintf(find, name), chromedp.ByJSPath))
}

// fill writes into a field in the place of what is there.
func (b *browser) fill(name, text string) {
	b.t.Helper()
	at := fmt.Sprintf(find, name)
	b.named(name)
	b.do(chromedp.Evaluate(at+".value = ''", nil), chromedp.SendKeys(at, text, chromedp.ByJSPath))
}

// choose takes one of a field's values.
func (b *browser) choose(name, text string) {
	b.t.Helper()
	b.named(name)
	b.do(chromedp.SendKeys(fmt.Sprintf(find, name), text, chromedp.ByJSPath))
}

// holds is about what there is behind the page.
func (b *browser) holds(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Error(err)
	}
}

// named waits until something has a name.
func (b *browser) named(name string) {
	b.t.Helper()
	b.until(`() => ` + fmt.Sprintf(find, name))
}

// phone looks at all views on a small screen.
func (b *browser) phone(scheme string) {
	b.t.Helper()
	b.size(390, 844, true, scheme)
	for _, view := range []struct{ tab, sees string }{{"Networks", "2 of 253"}, {"default", "Public addresses"}, {"Map", "What talks to what"}, {"Findings", "What was looked at"}, {"Events", "What happened"}} {
		tab := view.tab
		b.press(tab)
		b.sees(view.sees)
		b.shot("phone-" + scheme + "-" + tab)
		b.sound(tab + " on a phone, " + scheme)
	}
	b.press("Networks")
	b.press("default")
	b.press("Add forward")
	b.named("Port of the host")
	b.shot("phone-" + scheme + "-form")
	b.sound("a form on a phone, " + scheme)
	b.do(chromedp.KeyEvent(kb.Escape))
	b.until(`() => !document.querySelector("dialog")`)
}

// size gives the page a viewport, light or dark.
func (b *browser) size(width, height int64, phone bool, scheme string) {
	b.t.Helper()
	device := []chromedp.EmulateViewportOption{}
	if phone {
		device = append(device, chromedp.EmulateMobile, chromedp.EmulateScale(2))
	}
	b.do(chromedp.EmulateViewport(width, height, device...),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// shot keeps a picture of the page for people, where they want some.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv(shotsEnv)
	if dir == "" {
		return
	}
	var png []byte
	var dialog bool // which stands in the window, however long the page is
	err := chromedp.Run(b.ctx, chromedp.Evaluate(`document.querySelector("dialog") !== null`, &dialog), chromedp.ActionFunc(func(ctx context.Context) error {
		if dialog {
			return chromedp.CaptureScreenshot(&png).Do(ctx)
		}
		return chromedp.FullScreenshot(&png, 100).Do(ctx)
	}))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// sound holds the page against axe-core's rules of accessibility, and wants no view to be
// wider than its window.
func (b *browser) sound(view string) {
	b.t.Helper()
	axe, err := os.ReadFile(modules + "/axe-core/axe.min.js")
	if err != nil {
		b.t.Fatal(err)
	}
	var wide bool
	var found []string
	b.do(chromedp.Evaluate(string(axe)+"; undefined", nil),
		chromedp.Evaluate(`axe.run().then(result => result.violations.filter(v => v.impact === "serious" || v.impact === "critical")
			.flatMap(v => v.nodes.map(node => v.id + ": " + node.html + ": " + node.failureSummary)))`, &found,
			func(p *cdpruntime.EvaluateParams) *cdpruntime.EvaluateParams { return p.WithAwaitPromise(true) }),
		chromedp.Evaluate(`document.documentElement.scrollWidth > document.documentElement.clientWidth`, &wide))
	if len(found) > 0 {
		b.t.Errorf("%s: axe finds\n%s", view, strings.Join(found, "\n"))
	}
	if wide {
		b.t.Errorf("%s is wider than its window", view)
	}
}
