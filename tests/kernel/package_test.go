package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virbr/virbr/tests/qemutest"
)

// modules are what a host with libvirt loads, sooner or later.
var modules = []string{
	"bridge", "veth", "af_packet",
	"nf_tables", "nft_ct", "nft_chain_nat", "nft_nat", "nft_masq", "nft_reject_inet", "nft_compat", "xt_tcpudp", "xt_CHECKSUM",
	"sch_ingress", "sch_htb", "sch_sfq", "cls_u32", "cls_fw", "act_csum", "act_police", "wireguard",
}

// TestPackages runs tests of other packages on Debian's kernel: those about what
// we ask of a kernel, and whole networks with virsh, dnsmasq and guests.
func TestPackages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dir, run string
		programs []string // besides ip, tc, nft and sysctl
		want     []string // on the console
	}{
		{
			dir: "driver/host", run: "Bridge|Address|Facts|(Links|Leases|Routes|Rules)[A-Za-z]*Followed|Limit|Rates|Queues|Ingress", programs: []string{"dnsmasq"},
		}, {
			dir: "firewall/netlink", run: "Counters|NoGap|ChecksumOf", programs: []string{"ping"},
		}, {
			dir: "tests/e2e", run: "TestNAT|TestRoute|TestIsolated|TestOpen|TestBridge|TestLeavesNothing|TestRestart|TestMACTable|TestTunnel$",
			programs: []string{"virsh", "dnsmasq", "dig", "busybox", "dhclient", "ping", "wg"},
			want:     []string{"bridges filter VLANs here", "the tunnel is WireGuard's here"},
		},
	} {
		t.Run(c.dir, func(t *testing.T) {
			t.Parallel()
			out := qemutest.Run(t, qemutest.Guest{
				Modules:  modules,
				Programs: append([]string{"ip", "tc", "nft", "sysctl"}, c.programs...),
				Copies:   binaries(t, c.dir),
				Files: map[string]string{
					"/etc/passwd":      "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
					"/etc/group":       "root:x:0:\nnogroup:x:65534:\n",
					"/etc/resolv.conf": "",
				},
				Init: "mkdir -p /etc/libvirt /var/lib/libvirt /var/lib/misc\nip link set lo up\n" +
					"export REQUIRE_NETNS=1 VIRBR_E2E_BIN=/opt\n" +
					"/opt/package.test -test.v -test.parallel 2 -test.run '" + c.run + "'",
			})
			if strings.Contains(out, "--- SKIP") || !strings.Contains(out, "\nPASS\n") || slices.ContainsFunc(c.want, func(w string) bool { return !strings.Contains(out, w) }) {
				t.Errorf("not all is well:\n%s", out)
			} else if testing.Verbose() {
				t.Log(out)
			}
		})
	}
}

// binaries builds the tests of a package, and our programs for those that run
// them. They are static.
func binaries(t *testing.T, dir string) map[string]string {
	t.Helper()
	to := t.TempDir()
	commands := map[string][]string{"package.test": {"test", "-ldflags=-w", "-c", "../../" + dir}}
	if dir == "tests/e2e" {
		commands["virbrd"] = []string{"build", "../../cmd/virbrd"}
		commands["virbr"] = []string{"build", "../../cmd/virbr"}
		commands["virbr_leaseshelper"] = []string{"build", "../../cmd/virbr-leaseshelper"}
	}
	copies := map[string]string{}
	for name, args := range commands {
		file := filepath.Join(to, name)
		args = append(args[:len(args)-1:len(args)-1], "-o", file, args[len(args)-1])
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		copies["/opt/"+name] = file
	}
	return copies
}
