package driver_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/tests/netnstest"
)

// card lays out in a sysfs of the test's own a network card of the given name
// with two virtual functions, and a third device that is none.
func card(t *testing.T, name string) string {
	t.Helper()
	root := t.TempDir()
	devices := filepath.Join(root, "bus/pci/devices")
	for _, dir := range []string{"0000:03:00.0", "0000:03:10.0/net/vf0", "0000:03:10.2", "0000:04:00.0"} {
		if err := os.MkdirAll(filepath.Join(devices, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "class/net", name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(devices, "0000:03:00.0/sriov_totalvfs"), []byte("7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"bus/pci/devices/0000:03:00.0/virtfn0": "../0000:03:10.0",
		"bus/pci/devices/0000:03:00.0/virtfn1": "../0000:03:10.2",
		"bus/pci/devices/0000:03:10.0/physfn":  "../0000:03:00.0",
		"bus/pci/devices/0000:03:10.2/physfn":  "../0000:03:00.0",
		"class/net/" + name + "/device":        "../../../bus/pci/devices/0000:03:00.0",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// Pools of virtual functions through the real host, with its sysfs laid out.
func TestKernelVirtualFunctions(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "pf0"}}); err != nil {
			t.Fatal(err)
		}
		h, err := host.New(host.Config{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Sysfs: card(t, "pf0")})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(h.Close)
		k := &kernel{newRig(t), &breaking{System: h}, h}
		k.boot()

		_, err = k.d.DefineXML(t.Context(), "<network><name>bad</name><forward mode='hostdev'><address type='pci' bus='4'/></forward></network>", false)
		wantKind(t, err, driver.KindConfigUnsupported, "device '/sys/bus/pci/devices/0000:04:00.0' in network 'bad' is not an SR-IOV Virtual Function")
		for mode, want := range map[string][]string{
			"passthrough": {"<plug type='direct' dev='vf0' mode='passthrough'/>"},
			"hostdev":     {"slot='0x10' function='0x0'/>", "slot='0x10' function='0x2'/>"},
		} {
			net := k.up("<forward mode='" + mode + "'><pf dev='pf0'/></forward>")
			for i, plug := range want {
				if got, err := k.create(net, i+1, ""); err != nil || !strings.Contains(got, plug) {
					t.Errorf("mode %s: %v %s, want %s", mode, err, got, plug)
				}
			}
			_, err := k.create(net, 9, "")
			wantKind(t, err, driver.KindInternal, "network 'n' requires exclusive access to interfaces, but none are available")
			k.destroy(net)
		}
		ref := k.define("<network><name>other</name><forward mode='hostdev'><pf dev='nowhere'/></forward></network>")
		if err := k.d.Start(t.Context(), ref); err == nil || !strings.Contains(err.Error(), "No usable Vf's present on SRIOV PF nowhere") {
			t.Errorf("without such a card: %v", err)
		}
	})
}
