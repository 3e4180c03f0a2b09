package xml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const statusDoc = `<networkstatus>
  <class_id bitmap='0-3,7,9-10'/>
  <floor sum='512'/>
  <taint flag='hook-script'/>
  <network>
    <name>default</name>
    <uuid>aa000000-0000-4000-8000-000000000000</uuid>
    <description>one
two</description>
    <bridge name='virbr0' stp='on' delay='0'/>
  </network>
  <firewall name='fwRemoval' backend='nftables'>
    <group ignoreErrors='yes'>
      <action layer='ipv4'>
        <args>
          <item>-ae</item>
          <item>&lt;delete&gt;</item>
        </args>
      </action>
    </group>
    <group>
      <action layer='tc' ignoreErrors='yes'>
        <args>
          <item>qdisc</item>
        </args>
      </action>
    </group>
  </firewall>
</networkstatus>`

func TestStatusRoundTrip(t *testing.T) {
	t.Parallel()
	s, err := ParseStatus([]byte("<!--\nfor people\n-->\n\n" + statusDoc))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(statusDoc, s.Format()); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]uint16{0, 1, 2, 3, 7, 9, 10}, s.ClassIDs); diff != "" {
		t.Errorf("class ids (-want +got):\n%s", diff)
	}
	if s.FloorSum != 512 || !s.HookScript || s.Network.Name != "default" || len(s.Removal.Groups) != 2 {
		t.Errorf("got %+v", s)
	}
}

func TestStatusOfOldLibvirts(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		"<network><name>n</name></network>",
		"<networkstatus><network><name>n</name></network></networkstatus>",
		"<networkstatus><network><name>n</name></network><firewall name='other'/></networkstatus>",
	} {
		s, err := ParseStatus([]byte(doc))
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		if diff := cmp.Diff([]uint16{0, 1, 2}, s.ClassIDs); diff != "" || s.Network.Name != "n" || s.Removal != nil {
			t.Errorf("%s: got %+v", doc, s)
		}
	}
}

func TestStatusRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, inner, want string }{
		{"no network", "", "internal error: Could not find any 'network' element in status file"},
		{"bad network", "<network/>", "missing name information"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseStatus([]byte("<networkstatus>" + tt.inner + "</networkstatus>"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestStatusOfOthers: a network that runs is not lost for what stands beside its
// definition.
func TestStatusOfOthers(t *testing.T) {
	t.Parallel()
	for _, inner := range []string{
		"<floor sum='-1'/>", "<taint flag='x'/>", "<class_id bitmap='2-1'/>", "<class_id bitmap='0-65536'/>",
		"<class_id bitmap='" + strings.Repeat("0-65535,", 1000) + "1'/>", "<firewall name='fwRemoval'/>",
		"<firewall name='fwRemoval' backend='iptables'><group><action/></group></firewall>",
		"<firewall name='fwRemoval' backend='iptables'><group><action layer='ipv4'/></group></firewall>",
	} {
		s, err := ParseStatus([]byte("<networkstatus>" + inner + "<network><name>n</name></network></networkstatus>"))
		if err != nil {
			t.Errorf("%s: %v", inner, err)
			continue
		}
		if len(s.ClassIDs) != 3 || s.FloorSum != 0 || s.HookScript || s.Removal != nil || s.Network.Name != "n" || s.Network.Fault != nil {
			t.Errorf("%s: got %+v", inner, s)
		}
	}
}
