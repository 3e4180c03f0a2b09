package doctor

import "fmt"

// Way is one of the ways in which virbr serves a host.
type Way string

// The ways.
const (
	WayNone   Way = "none"
	WayModule Way = "module" // a monolithic libvirtd whose network module is virbr's
	WaySocket Way = "socket" // virbrd in the place of virtnetworkd
	WayHook   Way = "hook"   // libvirt's own driver, which virbr's hook adds to
)

// Choice is which way fits a host, and which it uses.
type Choice struct {
	Fits Way    `json:"fits"`
	Why  string `json:"why"`
	How  string `json:"how,omitempty"` // a command for root's shell; "": it is in use
	Uses Way    `json:"uses"`
}

// The commands that make a host use a way.
const (
	useModule = "apt-get install virbr-libvirtd"
	useSocket = "systemctl disable --now virtnetworkd.socket virtnetworkd.service; systemctl enable --now virbrd.socket virbrd-ro.socket virbrd.service"
)

// Choose says which way fits a host. The hook always does, for who wants to keep
// libvirt's own driver; so it is never what is proposed.
func Choose(f *Facts) Choice {
	l := &f.Libvirt
	c := Choice{Fits: WaySocket, How: useSocket, Uses: uses(f)}
	switch {
	case l.Modular:
		c.Why = "virtqemud asks for networks on a socket, which can be virbrd's"
	case l.Monolithic:
		c.Fits, c.How = WayModule, useModule
		c.Why = "libvirtd, the only daemon of libvirt here, serves networks by a module and asks no other daemon"
	default:
		c.Why = "no daemon of libvirt is installed; virsh asks virbrd for networks"
	}
	if c.Uses == c.Fits {
		c.How = ""
	}
	return c
}

func uses(f *Facts) Way {
	d := &f.Daemons
	switch l := &f.Libvirt; {
	case l.Module != "" && l.Original != "" && !l.Disabled:
		return WayModule
	case d.Virbrd.PID != 0:
		return WaySocket
	case len(f.Hook.Scripts) > 0:
		return WayHook
	}
	return WayNone
}

// libvirt looks at how libvirt's daemon comes by its networks.
func (w *walker) libvirt() bool {
	l, c := &w.f.Libvirt, Choose(w.f)
	switch {
	case c.Uses == c.Fits:
		w.say(fmt.Sprintf("the way of this host is %q, and it is in use", c.Fits))
	default:
		w.say(fmt.Sprintf("the way of this host is %q (virbr doctor --way); in use is %q", c.Fits, c.Uses))
	}
	if l.Original == "" || l.Module == "" {
		return true // package virbr-libvirtd is not installed
	}
	switch {
	case l.Libvirtd.PID == 0 || !l.Loaded && !l.Beside:
		w.say("libvirtd does not run")
	case !l.Loaded:
		w.tell(moduleUnloaded, Finding{
			Text:     fmt.Sprintf("%s has run since before virbr's module was installed and still serves networks itself", l.Libvirtd),
			Evidence: []string{"it has loaded " + l.Original + " and not " + l.Module},
			Mend:     "systemctl stop libvirtd.service && systemctl start virbrd.socket virbrd.service && systemctl start libvirtd.service",
			Note:     "guests go on meanwhile, with their network",
		})
	case l.Beside:
		w.refused(l)
	case l.Listens || w.f.Daemons.Virbrd.PID != 0:
		w.say(l.Libvirtd.String() + " has virbrd serve its networks")
	default:
		w.tell(moduleAlone, Finding{
			Text:     fmt.Sprintf("%s has virbrd serve its networks, and virbrd does not run: guests on them do not start", l.Libvirtd),
			Evidence: []string{"nobody listens on virtnetworkd-sock"}, Mend: "systemctl enable --now virbrd.socket virbrd-ro.socket virbrd.service",
		})
	}
	w.order(l)
	return true
}

// refused tells that virbr's module has loaded libvirt's own driver in its place.
func (w *walker) refused(l *Libvirt) {
	if l.Disabled {
		w.tell(moduleRefused, Finding{
			Severity: Hint, Text: "libvirtd uses its own network driver, as virbrd.conf says", Evidence: []string{`libvirtd_module = "disabled"`},
			Mend: "sed -i '/^ *libvirtd_module/d' /etc/virbr/virbrd.conf && systemctl restart libvirtd.service",
			Note: "guests go on meanwhile, with their network",
		})
		return
	}
	w.tell(moduleRefused, Finding{
		Text:     fmt.Sprintf("virbr's module has %s use libvirt's own network driver: it does not know this version of libvirt", l.Libvirtd),
		Evidence: []string{"it has loaded both " + l.Module + " and " + l.Original, "journalctl -u libvirtd.service -g virbr: says why"},
		Mend:     "apt-get install --only-upgrade virbr virbr-libvirtd && systemctl restart libvirtd.service",
		Note:     "until then libvirt serves the networks, without what virbr adds to them",
	})
}

// order tells where libvirtd may come up without virbrd.
func (w *walker) order(l *Libvirt) {
	if !w.f.Daemons.Systemd || l.Disabled || l.Ordered && !l.Excluded {
		return
	}
	f := Finding{
		Text: "the unit of libvirtd does not wait for virbrd.socket: guests that start with the host may find no networks",
		Mend: "apt-get install --reinstall virbr-libvirtd && systemctl daemon-reload",
	}
	f.Evidence = []string{"no After=virbrd.socket in libvirtd.service and its drop-ins"}
	if l.Excluded {
		f.Text = "the units of virbrd and libvirtd exclude each other: one stops when the other starts"
		f.Evidence = []string{"/etc/systemd/system/virbrd.service.d/libvirtd.conf does not mask the one in /usr/lib"}
	}
	w.tell(moduleOrder, f)
}
