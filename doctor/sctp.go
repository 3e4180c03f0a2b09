package doctor

import "github.com/virbr/virbr/xml"

// The sysctls that are there where the kernel tracks connections, and where it
// tracks those of SCTP.
const (
	tracked     = "net/netfilter/nf_conntrack_max"
	trackedSCTP = "net/netfilter/nf_conntrack_sctp_timeout_established"
)

// sctp looks whether the kernel can forward SCTP.
func (w *walker) sctp(f *xml.PortForward) {
	if f.Proto != "sctp" {
		return
	}
	_, any := w.f.Sysctls[tracked]
	_, ours := w.f.Sysctls[trackedSCTP]
	if any && !ours {
		w.tell(sctpUntracked, Finding{
			Text: "the kernel does not track connections of SCTP, so it forwards none", Evidence: []string{"no sysctl " + trackedSCTP, f.String()},
			Note: "no command mends this: it takes a kernel with CONFIG_NF_CT_PROTO_SCTP; Debian, Fedora and RHEL have it",
		})
		return
	}
	hint := Finding{
		Text:     "the kernel has SCTP not loaded: guests and external hosts reach the forward, the host itself does not",
		Evidence: []string{"module sctp is not loaded", f.String()}, Mend: "modprobe sctp",
	}
	switch w.f.Modules["sctp"] {
	case ModuleAvailable:
		w.tell(sctpMissing, hint)
	case ModuleAbsent:
		hint.Text = "the kernel has no SCTP: guests and external hosts reach the forward, the host itself does not"
		hint.Evidence[0], hint.Mend, hint.Note = "no module sctp", "", "no command mends this: it takes a kernel that has the module"
		w.tell(sctpMissing, hint)
	case ModuleUnknown, ModulePresent:
	}
}
