package host

import (
	"cmp"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// sysfs is where the kernel lists devices; root is "" for /sys.
type sysfs struct{ root string }

func (s sysfs) path(elem ...string) string {
	return filepath.Join(append([]string{cmp.Or(s.root, "/sys")}, elem...)...)
}

// maxVFs is more than PCI allows (TotalVFs is 16 bits), so a loop ends.
const maxVFs = 1 << 16

// virtualFunctions returns the virtual functions of each physical function. Only
// hardware can be one, but in a test's own tree.
func (s sysfs) virtualFunctions(links map[string]step.Link) map[string][]step.VF {
	vfs := map[string][]step.VF{}
	for name, link := range links {
		if link.Kind != "" && s.root == "" || name == "lo" || checkLink(name) != nil {
			continue
		}
		if list := functionsOf(s.path("class/net", name, "device")); list != nil {
			vfs[name] = list
		}
	}
	return vfs
}

// VirtualFunction reports whether a PCI device is an SR-IOV virtual function: it
// has a link to its physical function.
func (h *Host) VirtualFunction(addr xml.PCIAddress) bool {
	_, err := os.Lstat(h.sysfs.path("bus/pci/devices", addr.String(), "physfn"))
	return err == nil
}

// functionsOf returns the virtual functions of a PCI device, in the order of
// its virtfnN links; nil where it has no such thing (no sriov_totalvfs).
func functionsOf(device string) []step.VF {
	if _, err := os.Stat(filepath.Join(device, "sriov_totalvfs")); err != nil {
		return nil
	}
	list := []step.VF{}
	for i := range maxVFs {
		virtfn := filepath.Join(device, "virtfn"+strconv.Itoa(i))
		target, err := os.Readlink(virtfn)
		if err != nil {
			break
		}
		pci, ok := parsePCI(filepath.Base(target))
		if !ok {
			continue
		}
		vf := step.VF{PCI: pci}
		if entries, err := os.ReadDir(filepath.Join(virtfn, "net")); err == nil && len(entries) > 0 {
			vf.Netdev = entries[0].Name()
		}
		list = append(list, vf)
	}
	return list
}

// parsePCI reads sysfs's form of a PCI address, 0000:00:00.0 in hexadecimal.
func parsePCI(s string) (xml.PCIAddress, bool) {
	domain, rest, ok1 := strings.Cut(s, ":")
	bus, rest, ok2 := strings.Cut(rest, ":")
	slot, function, ok3 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || !ok3 {
		return xml.PCIAddress{}, false
	}
	d, err1 := strconv.ParseUint(domain, 16, 32)
	b, err2 := strconv.ParseUint(bus, 16, 8)
	sl, err3 := strconv.ParseUint(slot, 16, 5)
	f, err4 := strconv.ParseUint(function, 16, 3)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		return xml.PCIAddress{}, false
	}
	return xml.PCIAddress{Domain: uint32(d), Bus: uint8(b), Slot: uint8(sl), Function: uint8(f)}, true
}
