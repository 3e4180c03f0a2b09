//go:build libvirt_dlopen

package crash

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/tests/netnstest"
)

// older is a network whose files and rules an older version wrote, see
// testdata/older.
const older = `<network><name>older</name><uuid>c0ffee00-0000-4000-8000-000000000095</uuid>
<forward mode='nat'><nat ipv6='yes'/></forward><bridge name='vb-older' stp='off'/><mac address='52:54:00:95:00:01'/>
<bandwidth><inbound average='1000' peak='2000'/></bandwidth>
<ip address='10.95.0.1' prefix='24'><dhcp><range start='10.95.0.2' end='10.95.0.99'/></dhcp></ip>
<ip family='ipv6' address='fd00:95::1' prefix='64'/></network>`

// olderEnv names the directory of an older version's binaries. With it the test
// runs them, and writes testdata/older anew.
const olderEnv = "VIRBR_CRASH_OLDER"

// olderFiles are what the older version wrote, by its name in testdata/older.
var olderFiles = map[string]string{
	"status.xml":   "/run/libvirt/network/older.xml",
	"record.json":  "/run/virbr/networks/c0ffee00-0000-4000-8000-000000000095.json",
	"dnsmasq.conf": "/var/lib/libvirt/dnsmasq/older.conf",
}

// TestOlder starts virbrd where an older version ran, of the first commit that
// could be deployed: no packet is lost, dnsmasq goes on, and what the older one made
// the new one removes.
func TestOlder(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		netnstest.NeedProgram(t, "dnsmasq", "ip", "nft", "tc", "ping", "busybox", "sysctl")
		run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
		before := rest(t)
		var f *traffic
		if dir := os.Getenv(olderEnv); dir != "" {
			d := startOf(t, filepath.Join(dir, "virbrd"))
			d.up("older", older)
			f = newTraffic(t, "vb-older", "52:54:00:95:00:50", false)
			d.stop()
			keepOlder(t)
		} else {
			d := start(t)
			d.up("older", older)
			f = newTraffic(t, "vb-older", "52:54:00:95:00:50", false)
			d.stop()
			asOlder(t)
		}
		pid := read(t, "/run/libvirt/network/older.pid")
		d := start(t)
		f.moves()
		if now := read(t, "/run/libvirt/network/older.pid"); now != pid {
			t.Errorf("dnsmasq is %s, and was %s", now, pid)
		}
		taken := rest(t)
		d.stop()
		d = start(t)
		same(t, taken, rest(t), "started once more")
		f.moves()
		f.end()
		for _, end := range []step{of("older", (*libvirt.Network).Destroy), of("older", (*libvirt.Network).Undefine)} {
			if err := end(d); err != nil {
				t.Fatal(err)
			}
		}
		d.stop()
		leaves(t, before, "older")
	})
}

// keepOlder writes down what the older version made.
func keepOlder(t *testing.T) {
	t.Helper()
	for name, path := range olderFiles {
		write(t, filepath.Join("testdata", "older", name), read(t, path)+"\n")
	}
	write(t, filepath.Join("testdata", "older", "rules.nft"), run(t, "nft", "-s", "list", "table", "inet", "virbr"))
}

// asOlder puts what the older version made in the place of what there is: the
// rules at once, so that no packet is lost.
func asOlder(t *testing.T) {
	t.Helper()
	for name, path := range olderFiles {
		write(t, path, read(t, filepath.Join("testdata", "older", name))+"\n")
	}
	rules := "delete table inet virbr\n" + read(t, filepath.Join("testdata", "older", "rules.nft")) + "\n"
	file := filepath.Join(t.TempDir(), "rules.nft")
	write(t, file, rules)
	run(t, "nft", "-f", file)
}

// leaves wants nothing to be left of a network on the host.
func leaves(t *testing.T, before state, network string) {
	t.Helper()
	after := rest(t)
	for _, topic := range []string{"links", "addresses", "routes", "routes6", "qdiscs"} {
		if strings.Contains(after[topic], "vb-"+network) {
			t.Errorf("%s of the network are left:\n%s", topic, after[topic])
		}
	}
	for _, topic := range []string{"rules", "processes"} {
		if after[topic] != before[topic] {
			t.Errorf("%s are left:\n%s", topic, after[topic])
		}
	}
	for topic := range after {
		if strings.HasPrefix(topic, "file /run/virbr/detached/") { // a guest of the network is there, and put back if it comes again
			continue
		}
		if strings.HasPrefix(topic, "file ") && (strings.Contains(topic, network) || strings.Contains(topic, "c0ffee00")) {
			t.Errorf("%s is left", topic)
		}
	}
}
