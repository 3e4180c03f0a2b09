package cockpit

import (
	"strings"
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
		b := newBrowser(t, page)
		b.sees("2 of 253") // leases of default
		b.sound("networks")
		b.shot("networks")
		unprivileged(b, h)
		lifecycle(b, h)
		views(b)
		changes(b, h)
		meanwhile(b, h)
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

// unprivileged is the page of a user who may look and change nothing.
func unprivileged(b *browser, h *host) {
	b.t.Helper()
	const theirs = "127.0.0.1:9091"
	h.serve(theirs, "nobody")
	b.do(chromedp.Navigate(strings.Replace(page, address, theirs, 1)))
	b.sees("Without administrative access less is shown")
	b.sees("permission denied; be root, or in the group that the daemon's configuration names")
	b.shot("unprivileged")
	b.sound("the page of a user without rights")
	b.do(chromedp.Navigate(page))
	b.sees("2 of 253")
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

// changes fills each form, looks at its plan and applies it.
func changes(b *browser, h *host) {
	b.t.Helper()
	b.press("Networks")
	b.press("default")
	b.press("Add forward")
	b.fill("Port of the host", "80800")
	b.fill("Guest", "web1")
	b.shot("form")
	b.sound("a form")
	b.press("Show what it does")
	b.sees("That did not work")
	b.sees(`"80800" is neither a port from 1 to 65535 nor a service`)
	b.shot("form-error")
	b.sound("a form with an error")
	b.fill("Port of the host", "8443")
	b.fill("Port of the guest", "443")
	b.press("Show what it does")
	b.sees("Guests notice:")
	if err := h.says("virbr forward list default", "8443"); err == nil {
		b.t.Error("the plan of a forward adds it")
	}
	b.shot("plan")
	b.sound("a plan")
	b.press("Back")
	b.press("Show what it does")
	b.apply()
	b.sees("tcp *:8443 to web1:443")
	b.holds(h.says("virbr forward list default", "8443:443"))
	b.press("Remove tcp *:8443 to web1:443")
	b.apply()
	b.until(`() => !document.body.innerText.includes("8443")`)

	b.press("Add public address")
	b.fill("Address", "203.0.113.77")
	b.fill("Guest", "web1")
	b.press("Show what it does")
	b.apply()
	b.named("Remove 203.0.113.77 of web1")
	b.holds(h.says("virbr address list default", "203.0.113.77"))

	b.press("Change the IPv6 prefix")
	b.choose("Prefix of guests", "Routed to this host")
	b.fill("Prefix", "fd00:77::/64")
	b.press("Show what it does")
	b.sees("at renewal")
	b.shot("plan-prefix")
	b.sound("a plan for guests to notice")
	b.apply()
	b.sees("seconds left")
	b.shot("unconfirmed")
	b.sound("a change that is not confirmed")
	const pending = "virbr status --json default"
	b.holds(h.says(pending, "confirm_until"))
	b.press("Keep the change")
	b.until(`() => !document.body.innerText.includes("seconds left")`)
	b.sees("fd00:77::/64")
	if err := h.says(pending, "confirm_until"); err == nil {
		b.t.Error("the change is not confirmed")
	}

	b.press("Change the IPv6 prefix")
	b.choose("Prefix of guests", "None")
	b.press("Show what it does")
	b.sees("renumbered")
	b.apply()
	b.sees("seconds left")
	b.press("Undo it now")
	b.until(`() => !document.body.innerText.includes("seconds left")`)
	b.holds(h.says("virsh -c network:///system net-dumpxml --inactive default", "fd00:77::/64"))
	b.sees("fd00:77::/64")
}

// meanwhile has others change what a form is about: what is applied is what was shown.
func meanwhile(b *browser, h *host) {
	b.t.Helper()
	b.press("Add forward")
	b.fill("Port of the host", "7000")
	b.fill("Guest", "web1")
	b.press("Show what it does")
	b.sees("Guests notice:")
	h.Sh(b.t, "virsh -c network:///system net-dumpxml --inactive default | sed 's/192.168.122.1/192.168.122.254/; s/end=.192.168.122.254./end=\"192.168.122.200\"/' >/tmp/moved.xml; virsh -c network:///system net-define /tmp/moved.xml")
	b.press("Apply")
	b.sees("The network was changed meanwhile.")
	b.sees("192.168.122.254/24")
	b.shot("plan-meanwhile")
	b.sound("a plan that became another")
	b.press("Cancel")
	b.until(`() => !document.querySelector("dialog")`)
	b.holds(h.says("ip -br address show virbr0", "192.168.122.1/24"))
	h.Sh(b.t, "virbr rollback default")
}

// apply presses Apply in the dialog, which closes when that is done.
func (b *browser) apply() {
	b.t.Helper()
	b.press("Apply")
	b.until(`() => !document.querySelector("dialog")`)
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
