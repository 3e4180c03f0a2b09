package doctor

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// The oldest dnsmasq that networks can use (see package plan).
const (
	dnsmasqMajor = 2
	dnsmasqMinor = 67
)

// host looks at what all networks share.
func host(f *Facts, r *Report) []Step {
	w := &walker{f: f, r: r, n: &Network{}}
	w.take("daemons", w.daemons)
	w.take("libvirt", w.libvirt)
	w.take("limits", w.limits)
	return w.steps
}

// daemons looks at the programs that networks need.
func (w *walker) daemons() bool {
	d := &w.f.Daemons
	switch {
	case d.Virbrd.PID != 0:
		w.say(d.Virbrd.String() + " keeps the networks")
	case d.Holder.PID != 0:
		w.say(d.Holder.String() + " keeps the networks")
	default:
		w.say("no network daemon runs, which is fine: networks go on without")
	}
	if d.Virbrd.PID != 0 && d.Holder.PID != 0 && d.Holder.PID != d.Virbrd.PID {
		w.tell(Finding{
			ID: "two-daemons", Severity: Warning,
			Text: fmt.Sprintf("%s and %s both run: each has networks of its own, and clients that ask one do not see the other's",
				d.Virbrd, d.Holder),
			Evidence: []string{fmt.Sprintf("the lock of libvirt's network driver is held by %s", d.Holder)},
			Mend:     end(d.Holder),
			Note:     "which of the two is to go is up to you; docs/migrating.md shows how networks go from one to the other",
		})
	}
	w.unpatched()
	v := w.f.Plan.Dnsmasq
	if v.Path == "" || v.Major == 0 {
		return true
	}
	text := fmt.Sprintf("dnsmasq %d.%d", v.Major, v.Minor)
	w.say(text)
	if v.Major < dnsmasqMajor || v.Major == dnsmasqMajor && v.Minor < dnsmasqMinor {
		w.tell(Finding{
			ID: "dnsmasq-old", Severity: Problem,
			Text:     fmt.Sprintf("dnsmasq is too old: networks need %d.%d or newer", dnsmasqMajor, dnsmasqMinor),
			Evidence: []string{v.Path + " is version " + strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor)},
			Mend:     "apt-get install --only-upgrade dnsmasq-base || dnf upgrade dnsmasq || zypper update dnsmasq",
		})
	}
	return true
}

// limits looks at the limits of the host.
func (w *walker) limits() bool {
	for _, l := range w.f.Limits {
		switch {
		case l.Free <= 0:
			w.limit(l, Problem, "is used up")
		case l.Free < l.Spare:
			w.limit(l, Warning, "is nearly used up")
		default:
			w.say(l.What + ": enough")
		}
	}
	return len(w.f.Limits) > 0
}

// harms says what happens when a limit is met.
var harms = map[string]string{
	"inotify-limit":  "dnsmasq of one more network does not start, nor do other programs that watch files",
	"conntrack-full": "the kernel drops the first packet of every new connection of guests and host",
	"files-limit":    "programs cannot open files and sockets",
	"pids-limit":     "no process can be started, and no dnsmasq for one more network",
	"tasks-limit":    "no dnsmasq can be started",
}

func (w *walker) limit(l Limit, severity Severity, how string) {
	f := Finding{
		ID: l.ID, Severity: severity,
		Text:     fmt.Sprintf("the limit of %s %s: %s", l.What, how, harms[l.ID]),
		Evidence: []string{fmt.Sprintf("%s = %d", l.Key, l.Max), fmt.Sprintf("%d are free", max(l.Free, 0))},
		Mend:     setSysctl(l.Key, strconv.FormatInt(max(2*l.Max, 1024), 10)),
		Note:     "write it to a file in /etc/sysctl.d to keep it over the next boot",
	}
	if path.IsAbs(l.Key) { // a file of a control group
		f.Mend, f.Note = group(l.Key, strconv.FormatInt(max(2*l.Max, 1024), 10), w.f.Daemons.Systemd)
	}
	w.tell(f)
}

// group is the command that sets how many processes a control group may have.
func group(file, most string, systemd bool) (mend, note string) {
	unit := path.Base(path.Dir(file))
	for _, kind := range []string{".service", ".slice", ".scope"} {
		if systemd && strings.HasSuffix(unit, kind) {
			return "systemctl set-property " + quote(unit) + " TasksMax=" + most, ""
		}
	}
	return "echo " + most + " > " + quote(file), "whoever made the control group may set it again"
}
