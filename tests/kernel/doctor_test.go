package kernel

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/doctor/collect"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/tests/qemutest"
)

const status = `<networkstatus><network><name>default</name><uuid>c0ffee00-0000-4000-8000-000000000001</uuid>
  <forward mode='open'/><bridge name='virbr0'/>
  <ip address='10.0.1.1' netmask='255.255.255.0'><dhcp><range start='10.0.1.2' end='10.0.1.9'/></dhcp></ip>
</network></networkstatus>`

// TestDoctor: the doctor tells of modules that are missing or in the way, on a
// kernel that can be with them and without.
func TestDoctor(t *testing.T) {
	t.Parallel()
	qemutest.RunTest(t, qemutest.Guest{
		Modules:  []string{"bridge", "veth", "nf_tables", "sch_ingress", "cls_u32"},
		Programs: []string{"nft"},
		Spare:    []string{"act_csum", "br_netfilter"},
	}, func(t *testing.T) {
		h, _ := newHost(t)
		do(t, h, step.AddBridge{Name: bridge},
			step.AddAddress{Link: bridge, Address: netip.MustParsePrefix("10.0.1.1/24"), Broadcast: netip.MustParseAddr("10.0.1.255")},
			step.SetUp{Link: bridge}, step.FillChecksums{Bridge: bridge})
		places := state.Dirs{Config: t.TempDir(), State: t.TempDir(), Dnsmasq: t.TempDir(), Own: t.TempDir()}
		if err := os.WriteFile(filepath.Join(places.State, "default.xml"), []byte(status), 0o600); err != nil {
			t.Fatal(err)
		}
		if f := examine(t, h, places, "checksum"); f == nil || f.Severity != doctor.Hint {
			t.Errorf("without act_csum: %+v", f)
		}
		if f := examine(t, h, places, "br-netfilter"); f != nil {
			t.Errorf("without br_netfilter: %+v", f)
		}
		qemutest.Load(t, "act_csum")
		h, _ = newHost(t) // the other one remembers what the kernel lacked
		do(t, h, step.FillChecksums{Bridge: bridge})
		if f := examine(t, h, places, "checksum"); f != nil {
			t.Errorf("with act_csum: %+v", f)
		}
		qemutest.Load(t, "br_netfilter")
		if f := examine(t, h, places, "br-netfilter"); f != nil {
			t.Errorf("with br_netfilter alone: %+v", f)
		}
		rules := "table inet mine { chain forward { type filter hook forward priority 0; policy drop; }; }"
		if out, err := exec.CommandContext(t.Context(), "nft", rules).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		f := examine(t, h, places, "br-netfilter")
		if f == nil {
			t.Fatal("with br_netfilter and a firewall that drops: nothing is found")
		}
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", f.Mend).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", f.Mend, err, out)
		}
		if f := examine(t, h, places, "br-netfilter"); f != nil {
			t.Errorf("after its command: %+v", f)
		}
	})
}

// examine returns the first finding of an ID; nil: there is none.
func examine(t *testing.T, h *host.Host, places state.Dirs, id string) *doctor.Finding {
	t.Helper()
	facts, err := collect.Collect(t.Context(), h, places)
	if err != nil {
		t.Fatal(err)
	}
	r := doctor.Examine(facts)
	if len(r.Networks) != 1 || !r.Networks[0].Active {
		t.Fatalf("networks: %+v", r.Networks)
	}
	i := slices.IndexFunc(r.Findings, func(f doctor.Finding) bool { return f.ID == id })
	if i < 0 {
		return nil
	}
	return &r.Findings[i]
}
