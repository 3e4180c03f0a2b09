package doctor

import (
	"cmp"
	"fmt"
	"strings"
)

// stops says what a guest did that was stopped, and how it is allowed.
var stops = map[string]struct{ what, allow string }{
	"unknown": {"is no guest of the network that virbrd knows", "<virbr:guard unknown='accept'/>"},
	"stp":     {"speaks the spanning tree protocol", "<virbr:guard stp='no'/>"},
	"vlan":    {"sends frames with VLAN tags", "<virbr:guard vlan='no'/>"},
	"hidden":  {"hides what its frames are", ""},
	"mac":     {"sends from another MAC address than its port's", "<virbr:allow guest='NAME' mac='MAC'/>"},
	"ip":      {"sends from, or claims, an IP address that is not its own", "<virbr:allow guest='NAME' address='ADDRESS'/>"},
	"dhcp":    {"answers as DHCP server", "<virbr:guard dhcp='no'/>"},
	"dhcp6":   {"answers as DHCPv6 server", "<virbr:guard dhcp='no'/>"},
	"ra":      {"advertises itself as router", "<virbr:guard ra='no'/>"},
	"rate":    {"asks for the host faster than an honest guest does", "<virbr:guard rate='no'/>"},
}

// honest is how many frames from an address that nobody gave it an honest guest may have
// dropped: the first ones say that it has the address.
const honest = 20

// stopped tells of guests that the guard has stopped.
func (w *walker) stopped() {
	for _, s := range w.n.Stopped {
		if s.Cause == "ip" && s.Packets < honest {
			continue
		}
		about := stops[s.Cause]
		f := Finding{
			Text:     fmt.Sprintf("the guard stops %s at port %s: it %s", cmp.Or(s.Guest, "a guest"), s.Link, about.what),
			Evidence: []string{fmt.Sprintf("nft list set bridge virbr %s: %s, %d frames", "stop_"+s.Cause, s.Link, s.Packets)},
		}
		if about.allow != "" {
			f.Mend = virsh("net-edit", w.n.Name)
			f.Note = "only where it may do so: " + strings.ReplaceAll(about.allow, "NAME", cmp.Or(s.Guest, "NAME"))
		}
		w.tell(guestStopped, f)
	}
}
