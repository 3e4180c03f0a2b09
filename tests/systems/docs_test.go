package systems

import (
	"os"
	"strings"
	"testing"
)

// page is a page of docs/ whose commands are run as they are written.
type page struct {
	name string
	todo []string // lines of its code blocks, in order; those that were run are ""
}

// readPage reads the code blocks of a page: lines that are indented by four blanks.
func readPage(t *testing.T, name string) *page {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{name: name}
	for line := range strings.Lines(string(text)) {
		if code, ok := strings.CutPrefix(line, "    "); ok && strings.TrimSpace(code) != "" {
			p.todo = append(p.todo, strings.TrimSpace(code))
		}
	}
	return p
}

// take returns the next lines of the page that begin with the given words, one for
// each.
func (p *page) take(t *testing.T, words ...string) string {
	t.Helper()
	var script strings.Builder
	from := 0
	for _, word := range words {
		found := false
		for i := from; i < len(p.todo) && !found; i++ {
			if found = strings.HasPrefix(p.todo[i], word); found {
				script.WriteString(p.todo[i] + "\n")
				p.todo[i], from = "", i+1
			}
		}
		if !found {
			t.Fatalf("docs/%s has no command that begins with %q", p.name, word)
		}
	}
	return script.String()
}

// done wants every command of the page to have been taken, but those that have the
// words of an excuse in them.
func (p *page) done(t *testing.T, excused ...string) {
	t.Helper()
lines:
	for _, line := range p.todo {
		for _, words := range excused {
			if strings.Contains(line, words) {
				continue lines
			}
		}
		if line != "" {
			t.Errorf("docs/%s: this command was not run: %s", p.name, line)
		}
	}
}

// TestMigrating runs docs/migrating.md, beside a guest that runs: the module and back, then
// the socket and back, from the sources' own units. Debian has no modular daemons, so
// their units are named in vain.
func TestMigrating(t *testing.T) {
	on(t, func(t *testing.T, m *machine) {
		p := readPage(t, "migrating.md")
		m.lab(t, asShipped)

		// The module.
		m.lab(t, "cd /payload\nrm -f *_1.1_*\n"+p.take(t, "apt-get install ./virbr_")+"pings 5\nno_gap\n"+serves)
		m.lab(t, p.take(t, "virsh -c qemu:///system net-list", "journalctl -u libvirtd -g virbr:", "sudo virbr doctor"))
		m.lab(t, "echo 'libvirtd_module = \"disabled\"' >>/etc/virbr/virbrd.conf\nsystemctl restart libvirtd.service\n"+
			"wait_for 60 virsh net-list\n! systemctl -q is-active virbrd.service\niptables -S FORWARD | grep LIBVIRT_FWI\npings 3\n"+
			"sed -i /libvirtd_module/d /etc/virbr/virbrd.conf\nsystemctl restart libvirtd.service\n"+serves)
		m.lab(t, p.take(t, "apt-get remove virbr-libvirtd")+"pings 5\n"+libvirtServes)
		m.lab(t, "apt-get remove -y virbr\npings 3\n"+libvirtServes)

		// The socket.
		mask := "systemctl disable --now libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket\n" +
			"systemctl mask libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket\n"
		absent := func(script string) string { return "set +e\n" + script + "set -e\n" }
		try := p.take(t, "systemctl stop virtnetworkd.socket", "./virbrd", "virsh -c 'network:///system?mode=direct' net-list")
		try = strings.Replace(try, "./virbrd\n", "(./virbrd >/run/tried.log 2>&1 & echo $! >/run/tried)\nwait_for 60 test -S /run/libvirt/virtnetworkd-sock\n", 1)
		m.lab(t, "cd /payload\n"+absent(mask[:strings.Index(mask, "\n")+1])+absent(try)+"virsh -c 'network:///system?mode=direct' net-list | grep default\npings 3\nkill $(cat /run/tried)")
		m.lab(t, "cd /payload\n"+absent(mask)+absent(p.take(t, "install -m 755 virbrd", "install -m 644 packaging/systemd/virbrd.service", "for u in", "install -m 644 packaging/systemd/tmpfiles.conf",
			"systemctl stop", "systemctl mask", "systemctl daemon-reload", "systemctl enable --now virbrd.socket"))+
			"systemctl is-active virbrd.service\nnft list table inet virbr | grep -q virbr0\npings 3")
		m.lab(t, absent(p.take(t, "systemctl disable --now virbrd.socket"))+p.take(t, "systemctl unmask libvirtd.service", "systemctl enable --now libvirtd.socket", "systemctl start libvirtd.service",
			"virsh -c network:///system net-list")+p.take(t, "virbrd release")+"pings 3\n"+libvirtServes)
		p.done(t, "virtnetworkd", "# start libvirt's daemon again", "systemctl daemon-reload", "# starts the daemon")
	})
}

// libvirtServes says that libvirt's own driver has the default network. That one rejects
// guests' packets while it puts its rules in (docs/migrating.md), so some may be lost.
const libvirtServes = `wait_for 120 shows ' default .*active .*yes' virsh net-list
wait_for 120 shows ' guest .*running' virsh list
! nft list table inet virbr
iptables -S FORWARD | grep -q LIBVIRT_FWI
pings 3
! journalctl -b -u libvirtd | grep 'Address already in use'
! journalctl -b -k | grep 'apparmor="DENIED"'
`
