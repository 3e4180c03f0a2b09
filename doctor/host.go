package doctor

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
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
		w.tell(twoDaemons, Finding{
			Text: fmt.Sprintf("%s and %s both run: each has networks of its own, and clients that ask one do not see the other's",
				d.Virbrd, d.Holder),
			Evidence: []string{fmt.Sprintf("the lock of libvirt's network driver is held by %s", d.Holder)}, Mend: end(d.Holder),
			Note: "which of the two is to go is up to you; docs/migrating.md shows how networks go from one to the other",
		})
	}
	w.unpatched()
	v := w.f.Plan.Dnsmasq
	if v.Path == "" || v.Major == 0 {
		return true
	}
	text := fmt.Sprintf("dnsmasq %d.%d", v.Major, v.Minor)
	w.say(text)
	if old, oldest := v.TooOld(); old {
		w.tell(dnsmasqOld, Finding{
			Text:     "dnsmasq is too old: networks need " + oldest + " or newer",
			Evidence: []string{v.Path + " is version " + strconv.Itoa(v.Major) + "." + strconv.Itoa(v.Minor)},
			Mend:     "apt-get install --only-upgrade dnsmasq-base || dnf upgrade dnsmasq || zypper update dnsmasq",
		})
	}
	return true
}

// bounds says of each limit that is looked at what it is about: how many should be free,
// in units or as a part of all, and what happens when it is met.
var bounds = map[step.LimitKind]struct {
	kind        Kind
	what, harm  string
	spare, part int64
}{
	step.LimitInotify: {inotifyLimit, "inotify instances of one user", "dnsmasq of one more network does not start, nor do other programs that watch files",
		plan.InotifySpare, 0},
	step.LimitConnections: {conntrackFull, "tracked connections", "the kernel drops the first packet of every new connection of guests and host", 0, 10},
	step.LimitFiles:       {filesLimit, "open files", "programs cannot open files and sockets", 0, 10},
	step.LimitProcesses:   {pidsLimit, "processes and threads", "no process can be started, and no dnsmasq for one more network", 0, 10},
	step.LimitTasks:       {tasksLimit, "processes of the daemon's control group", "no dnsmasq can be started", 16, 0}, // a dnsmasq and its helpers
}

// limits looks at the limits of the host.
func (w *walker) limits() bool {
	for _, l := range w.f.Limits {
		b, known := bounds[l.Kind]
		if !known {
			continue
		}
		f := Finding{Severity: Problem, Text: "the limit of " + b.what + " is used up: " + b.harm}
		if b.part > 0 {
			b.spare = l.Value / b.part
		}
		switch {
		case l.Free >= b.spare:
			w.say(b.what + ": enough")
			continue
		case l.Free > 0:
			f.Severity, f.Text = Warning, "the limit of "+b.what+" is nearly used up: "+b.harm
		}
		most := strconv.FormatInt(max(2*l.Value, 1024), 10)
		f.Evidence = []string{fmt.Sprintf("%s = %d", l.Key, l.Value), fmt.Sprintf("%d are free", max(l.Free, 0))}
		f.Mend, f.Note = setSysctl(l.Key, most), "write it to a file in /etc/sysctl.d to keep it over the next boot"
		if l.Kind == step.LimitTasks {
			f.Mend, f.Note = group(l.Key, most, w.f.Daemons.Systemd)
		}
		w.tell(b.kind, f)
	}
	return len(w.f.Limits) > 0
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
