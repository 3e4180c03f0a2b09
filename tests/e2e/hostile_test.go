package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

// hostile are documents that must be refused in a way that a person
// understands. want is part of what virsh says.
var hostile = []struct{ name, doc, want string }{
	{"empty", "", "Document is empty"},
	{"truncated", natXML[:len(natXML)/2], "at line "},
	{"not UTF-8", "<network><name>\xff\xfe</name></network>", "at line "},
	{"control character", "<network><name>a\x01b</name></network>", "at line "},
	{"entity bomb", `<!DOCTYPE network [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><network><name>&c;</name></network>`, "at line "},
	{"external entity", `<!DOCTYPE network [<!ENTITY f SYSTEM "file:///etc/passwd">]><network><name>&f;</name></network>`, "at line "},
	{"deep", strings.Repeat("<network>", 10000) + strings.Repeat("</network>", 10000), "at line "},
	{"huge", "<network><name>x</name><description>" + strings.Repeat("x", 4<<20) + "</description></network>", "error"},
	{"many elements", "<network><name>x</name>" + strings.Repeat("<portgroup name='a'/>", 190000) + "</network>", "error"},
	{"line break in a domain", "<network><name>x</name><domain name='a&#10;dhcp-script=/bin/evil'/><ip address='10.1.1.1' prefix='24'/></network>", "domain"},
	{"line break in a host name", "<network><name>x</name><dns><host ip='10.1.1.9'><hostname>a\nb</hostname></host></dns><ip address='10.1.1.1' prefix='24'/></network>", "a"},
	{"line break behind a MAC", "<network><name>x</name><ip address='10.1.1.1' prefix='24'><dhcp><host mac='52:54:00:00:00:01&#10;x' ip='10.1.1.9'/></dhcp></ip></network>", "52:54:00:00:00:01"},
	{"line break in an option", "<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>x</name><ip address='10.1.1.1' prefix='24'/><dnsmasq:options><dnsmasq:option value='a&#10;dhcp-script=/bin/evil'/></dnsmasq:options></network>", "dnsmasq"},
	{"bridge with a comma", "<network><name>x</name><bridge name='a,b'/><ip address='10.1.1.1' prefix='24'/></network>", "invalid char in bridge name: ,"},
	{"bridge as a path", "<network><name>x</name><bridge name='../../x'/><ip address='10.1.1.1' prefix='24'/></network>", "x"},
	{"name as a path", "<network><name>../../etc/passwd</name></network>", "invalid char in name: /"},
	{"device as a rule", "<network><name>x</name><forward mode='nat' dev='eth0&quot; accept'/><ip address='10.1.1.1' prefix='24'/></network>", "invalid char in device name"},
	{"tftp root in two lines", "<network><name>x</name><ip address='10.1.1.1' prefix='24'><tftp root='/srv&#10;dhcp-script=/bin/evil'/></ip></network>", "tftp"},
}

// TestHostileXML: documents meant to harm are refused clearly, by define and by
// create, change nothing, and leave the daemon as it was.
func TestHostileXML(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		before := netnstest.Snapshot(t)
		for _, h := range hostile {
			path := t.TempDir() + "/hostile.xml"
			write(t, path, h.doc)
			for _, command := range []string{"net-define", "net-create"} {
				_, err := d.try(command, path)
				if err == nil || !strings.Contains(err.Error(), "error: ") || !strings.Contains(err.Error(), h.want) {
					t.Errorf("%s, %s: %.300v, want an error with %q", h.name, command, err, h.want)
				}
			}
		}
		if list := d.virsh("net-list", "--all", "--name"); strings.TrimSpace(list) != "" {
			t.Errorf("defined from hostile documents: %s", list)
		}
		if diff := cmp.Diff(before, netnstest.Snapshot(t)); diff != "" {
			t.Errorf("hostile documents changed the host:\n%s", diff)
		}
		for _, dir := range []string{"/etc/libvirt/qemu/networks", "/var/lib/libvirt/dnsmasq"} {
			entries, err := os.ReadDir(dir)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			for _, e := range entries {
				if !e.IsDir() {
					t.Errorf("%s is left in %s", e.Name(), dir)
				}
			}
		}
	})
}
