package cockpit

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/virbr/virbr/tests/netnstest"
)

// TestPage: networks are listed, started and stopped, and what the daemon says is shown, also
// when it refuses or is away.
func TestPage(t *testing.T) {
	t.Parallel()
	need(t)
	netnstest.Run(t, func(t *testing.T) {
		h := newHost(t)
		b := newBrowser(t)
		b.sees("2 of 253") // leases of default
		b.sound("networks")
		b.shot("networks")
		lifecycle(b, h)
		views(b)
		refused(b, h)
		away(b, h)
		b.inCockpit()
		for _, scheme := range []string{"light", "dark"} {
			b.phone(scheme)
		}
	})
}

// lifecycle starts and stops a network, and has it started with the host.
func lifecycle(b *browser, h *host) {
	b.t.Helper()
	b.press("Start spare")
	b.named("Stop spare")
	b.press("Start spare with the host")
	b.until(`() => document.querySelector("[aria-label='Start spare with the host']:checked")`)
	netnstest.Wait(b.t, "virbrd has spare started with the host", func() error {
		return h.says("virsh -c network:///system net-info spare", "Autostart:      yes")
	})
	b.press("Stop spare")
	b.sees("No guest is on it.")
	b.shot("stop")
	b.sound("the question before a stop")
	b.press("Stop")
	b.named("Start spare")
	if err := h.says("virsh -c network:///system net-info spare", "Active:         no"); err != nil {
		b.t.Error(err)
	}
}

// inCockpit finds the page in Cockpit's menu and frame.
func (b *browser) inCockpit() {
	b.t.Helper()
	b.size(1280, 560, false, "light")
	b.do(chromedp.Navigate("http://" + address + "/virbr"))
	b.until(`() => [...document.querySelectorAll("a")].some(a => a.innerText.trim() === "Virtual networks")`)
	b.until(`() => document.querySelector("iframe[name$='/virbr']")?.contentDocument.body?.innerText.includes("2 of 253")`)
	b.shot("cockpit")
	b.do(chromedp.Navigate(page))
	b.sees("2 of 253")
	b.size(800, 640, false, "light")
	b.sound("networks in a narrow window")
}

// views looks at each of them.
func views(b *browser) {
	b.t.Helper()
	b.press("default")
	b.sees("tcp *:2525 to mail:25")
	b.sees("waiting for \"mail\" to get an address")
	b.sees(hostile)
	b.shot("network")
	b.sound("one network")
	b.press("Map")
	b.until(`() => [...document.querySelectorAll(".virbr-map div")].some(e => e.shadowRoot?.textContent.includes("192.168.122.0/24"))`)
	b.shot("map")
	b.sound("the map")
	b.press("Findings")
	b.sees("tcp *:2525 to mail:25 is not in force")
	b.shot("findings")
	b.sound("findings")
	b.press("Events")
	b.sees("started")
	b.shot("events")
	b.sound("events")
}

// refused shows what the daemon says when it refuses.
func refused(b *browser, h *host) {
	b.t.Helper()
	h.Sh(b.t, "ip link add virbr2 type bridge")
	b.press("Networks")
	b.press("Start spare")
	b.sees("Starting spare did not work")
	b.sees("virbr2")
	b.shot("refused")
	b.sound("an error")
	b.press("Close")
	h.Sh(b.t, "ip link del virbr2")
}

// away restarts virbrd under the page, which goes on.
func away(b *browser, h *host) {
	b.t.Helper()
	h.stop()
	b.sees("virbrd cannot be heard; trying again")
	b.sees("no daemon answers")
	b.shot("away")
	b.sound("without virbrd")
	h.start()
	b.sees("virbrd answers again")
	h.Sh(b.t, "virbr start spare") // heard of, without anything that is pressed
	b.named("Stop spare")
}
