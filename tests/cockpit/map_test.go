package cockpit

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/virbr/virbr/tests/netnstest"
)

// TestMapAlone: the page that virbr map --html prints is sound by itself, in light and dark.
func TestMapAlone(t *testing.T) {
	t.Parallel()
	netnstest.NeedProgram(t, "chromium", "virsh", "dnsmasq")
	needModules(t)
	netnstest.Run(t, func(t *testing.T) {
		daemon := exec.Command(bin("virbrd"))
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
		dir := t.TempDir()
		for name, doc := range networks {
			if err := os.WriteFile(dir+"/"+name+".xml", []byte(doc), 0o600); err != nil {
				t.Fatal(err)
			}
			netnstest.Wait(t, name+" is defined", func() error {
				return exec.CommandContext(t.Context(), "virsh", "-c", "network:///system?mode=direct", "net-define", dir+"/"+name+".xml").Run()
			})
		}
		if out, err := exec.CommandContext(t.Context(), "virsh", "-c", "network:///system?mode=direct", "net-start", "default").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		netnstest.NewGuest(t, "web1", "virbr0").DHCP(t, "-x", "hostname:web1")
		page, err := exec.CommandContext(t.Context(), bin("virbr"), "map", "--html").Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/map.html", page, 0o600); err != nil {
			t.Fatal(err)
		}
		b := newBrowser(t, fmt.Sprintf("file://%s/map.html", dir))
		for _, scheme := range []string{"light", "dark"} {
			b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}), chromedp.Reload())
			b.sees("web1")
			b.sound("map --html, " + scheme)
			b.shot("map-alone-" + scheme)
		}
	})
}
