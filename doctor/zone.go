package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/virbr/virbr/xml"
)

// Firewalld is the firewall manager of that name, as it is now.
type Firewalld struct {
	Zones []string
	Links map[string]string // the zones of networks' bridges; "": in none
}

// The zone that libvirt's packages bring, and the one that virbrd makes where that
// is missing.
const (
	zoneLibvirt = "libvirt"
	zoneOwn     = "virbr"
)

// zone looks at the bridge's place in firewalld.
func (w *walker) zone() {
	fw := w.f.Firewalld
	if fw == nil || w.n.Def.Forward.Mode == xml.ForwardOpen && w.n.Def.Bridge.Zone == "" {
		return
	}
	name := w.n.Def.Bridge.Name
	want := cmp.Or(w.n.Def.Bridge.Zone, zoneLibvirt)
	now, known := fw.Links[name]
	if known && now != "" {
		w.say("in zone " + now + " of firewalld")
		return
	}
	if w.n.Def.Bridge.Zone == "" && !slices.Contains(fw.Zones, want) && slices.Contains(fw.Zones, zoneOwn) {
		want = zoneOwn
	}
	if !slices.Contains(fw.Zones, want) {
		w.tell(zoneMissing, Finding{
			Text:     fmt.Sprintf("firewalld runs and has no zone %q, so what guests send meets the rules of its default zone", want),
			Evidence: []string{fmt.Sprintf("zones of firewalld: %q", fw.Zones), name + " is in none"},
			Mend:     makeZone(want) + " && firewall-cmd --zone=" + quote(want) + " --change-interface=" + quote(name),
			Note:     "libvirt's packages bring the zone; a firewalld that was reinstalled may have lost it",
		})
		return
	}
	w.tell(zoneLeft, Finding{
		Text:     fmt.Sprintf("bridge %s is in no zone of firewalld: what guests send meets the rules of its default zone", name),
		Evidence: []string{"firewall-cmd --get-zone-of-interface=" + name + ": no zone"},
		Mend:     "firewall-cmd --zone=" + quote(want) + " --change-interface=" + quote(name),
	})
}

// makeZone is the command that makes a zone as libvirt's.
func makeZone(zone string) string {
	change := "firewall-cmd --permanent --zone=" + quote(zone)
	return strings.Join([]string{
		"firewall-cmd --permanent --new-zone=" + quote(zone),
		change + " --set-target=ACCEPT",
		change + " --add-service=dhcp --add-service=dhcpv6 --add-service=dns --add-service=ssh --add-service=tftp",
		change + " --add-protocol=icmp --add-protocol=ipv6-icmp",
		change + " --add-rich-rule='rule priority=32767 reject'",
		"firewall-cmd --reload",
	}, " && ")
}
