package doctor

import (
	"fmt"
	"net/netip"
	"path"

	"github.com/virbr/virbr/xml"
)

// The sysctls that are there where the kernel tracks connections, and where it
// tracks those of SCTP.
const (
	tracked     = "net/netfilter/nf_conntrack_max"
	trackedSCTP = "net/netfilter/nf_conntrack_sctp_timeout_established"
)

// loopback looks whether the host's own connections to 127.0.0.1 are let out to a
// guest.
func (w *walker) loopback(f *xml.PortForward) {
	own := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	switch {
	case f.Dev != "", f.Family == xml.FamilyIPv6:
		return
	case f.Address.IsValid() && f.Address != netip.IPv4Unspecified() && !(f.Address.Is4() && f.Address.IsLoopback()):
		return
	case w.hooked() && w.n.Added == nil, !w.located(f.Guest):
		return // the switch is set when there is where to go
	case f.Address.IsLoopback():
		own = f.Address
	}
	all, link := path.Join("net/ipv4/conf/all", localnet), path.Join("net/ipv4/conf", w.n.Def.Bridge.Name, localnet)
	value, known := w.f.Sysctls[link]
	if !known || value != "0" || w.f.Sysctls[all] == "1" {
		return
	}
	w.tell(Finding{
		ID: "localnet-off", Severity: Warning,
		Text:     fmt.Sprintf("the host itself does not reach guest %s at %s: the kernel does not let such connections out", f.Guest, own),
		Evidence: []string{link + " = 0", f.String()},
		Mend:     setSysctl(link, "1"),
		Note:     "virbr's rules keep guests from abusing it",
	})
}

// localnet is the sysctl that lets 127.0.0.0/8 out to a link.
const localnet = "route_localnet"

// located reports whether a guest has an IPv4 address.
func (w *walker) located(name string) bool {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Is4()
	}
	return w.known(name, netip.Addr.Is4)
}

// sctp looks whether the kernel can forward SCTP.
func (w *walker) sctp(f *xml.PortForward) {
	if f.Proto != "sctp" {
		return
	}
	_, any := w.f.Sysctls[tracked]
	_, ours := w.f.Sysctls[trackedSCTP]
	if any && !ours {
		w.tell(Finding{
			ID: "sctp-untracked", Severity: Problem,
			Text:     "the kernel does not track connections of SCTP, so it forwards none",
			Evidence: []string{"no sysctl " + trackedSCTP, f.String()},
			Note:     "no command mends this: it takes a kernel with CONFIG_NF_CT_PROTO_SCTP; Debian, Fedora and RHEL have it",
		})
		return
	}
	hint := Finding{
		ID: "sctp-missing", Severity: Hint,
		Text:     "the kernel has SCTP not loaded: guests and the outside reach the forward, the host itself does not",
		Evidence: []string{"module sctp is not loaded", f.String()},
		Mend:     "modprobe sctp",
	}
	switch w.f.Modules["sctp"] {
	case ModuleAvailable:
		w.tell(hint)
	case ModuleAbsent:
		hint.Text = "the kernel has no SCTP: guests and the outside reach the forward, the host itself does not"
		hint.Evidence[0], hint.Mend, hint.Note = "no module sctp", "", "no command mends this: it takes a kernel that has the module"
		w.tell(hint)
	case ModuleUnknown, ModulePresent:
	}
}
