package xml

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// base is the network that updates start from.
const base = `<network>
  <name>n</name>
  <forward dev='eth0' mode='nat'>
    <interface dev='eth0'/>
  </forward>
  <bridge name='virbr7' stp='on' delay='0'/>
  <dns>
    <txt name='t1' value='v1'/>
    <txt name='t2' value='v2'/>
    <srv service='s' protocol='tcp' domain='d1' target='x' port='5'/>
    <srv service='s' protocol='tcp' domain='d2'/>
    <srv service='q' protocol='udp'/>
    <host ip='10.0.0.5'>
      <hostname>a</hostname>
      <hostname>b</hostname>
    </host>
    <host ip='10.0.0.6'>
      <hostname>b</hostname>
    </host>
  </dns>
  <ip address='10.0.0.1' netmask='255.255.255.0'>
    <dhcp>
      <range start='10.0.0.10' end='10.0.0.20'/>
      <host mac='00:11:22:33:44:55' name='h1' ip='10.0.0.30'/>
      <host name='h2' ip='10.0.0.31'/>
    </dhcp>
  </ip>
  <ip address='10.1.0.1' netmask='255.255.255.0'>
  </ip>
  <ip family='ipv6' address='fd00::1' prefix='64'>
  </ip>
  <portgroup name='g1' default='yes'>
  </portgroup>
  <portgroup name='g2'>
  </portgroup>
</network>
`

// TestUpdate wants lines of the canonical form replaced: "old" by "new", or
// either of them to be nothing.
func TestUpdate(t *testing.T) {
	t.Parallel()
	const (
		lastHost = "      <host name='h2' ip='10.0.0.31'/>\n"
		h1       = "      <host mac='00:11:22:33:44:55' name='h1' ip='10.0.0.30'/>\n"
		first    = "      <range start='10.0.0.10' end='10.0.0.20'/>\n"
		eth0     = "    <interface dev='eth0'/>\n"
		g1       = "  <portgroup name='g1' default='yes'>\n  </portgroup>\n"
		g2       = "  <portgroup name='g2'>\n  </portgroup>\n"
		hostA    = "    <host ip='10.0.0.5'>\n      <hostname>a</hostname>\n      <hostname>b</hostname>\n    </host>\n"
		hostB    = "    <host ip='10.0.0.6'>\n      <hostname>b</hostname>\n    </host>\n"
		t1       = "    <txt name='t1' value='v1'/>\n"
		t2       = "    <txt name='t2' value='v2'/>\n"
		srvQ     = "    <srv service='q' protocol='udp'/>\n"
		srv2     = "    <srv service='s' protocol='tcp' domain='d2'/>\n"
	)
	for _, tt := range []struct {
		cmd      UpdateCommand
		section  UpdateSection
		parent   int
		doc      string
		old, new string
	}{
		{UpdateAddLast, SectionIPDHCPHost, -1, "<host name='h3' ip='10.0.0.32'/>", lastHost, lastHost + "      <host name='h3' ip='10.0.0.32'/>\n"},
		{UpdateAddFirst, SectionIPDHCPHost, 0, "<host name='h3' ip='10.0.0.32'/>", h1, "      <host name='h3' ip='10.0.0.32'/>\n" + h1},
		{UpdateAddLast, SectionIPDHCPHost, 2, "<host id='00:01' name='v6' ip='fd00::5'/>", "prefix='64'>\n", "prefix='64'>\n    <dhcp>\n      <host id='00:01' name='v6' ip='fd00::5'/>\n    </dhcp>\n"},
		{UpdateModify, SectionIPDHCPHost, -1, "<host mac='0:11:22:33:44:55' name='new' ip='10.0.0.40'/>", h1, "      <host mac='0:11:22:33:44:55' name='new' ip='10.0.0.40'/>\n"},
		{UpdateModify, SectionIPDHCPHost, -1, "<host name='h2' ip='10.0.0.41'/>", lastHost, "      <host name='h2' ip='10.0.0.41'/>\n"},
		{UpdateDelete, SectionIPDHCPHost, -1, "<host ip='10.0.0.31'/>", lastHost, ""},
		{UpdateDelete, SectionIPDHCPHost, -1, "<host mac='00:11:22:33:44:66'/>", lastHost, ""}, // an entry without mac matches any
		{UpdateAddLast, SectionIPDHCPRange, -1, "<range start='10.0.0.50' end='10.0.0.60'><lease expiry='5'/></range>", first, first + "      <range start='10.0.0.50' end='10.0.0.60'>\n        <lease expiry='5' unit='minutes'/>\n      </range>\n"},
		{UpdateAddFirst, SectionIPDHCPRange, -1, "<range start='10.0.0.50' end='10.0.0.60'/>", first, "      <range start='10.0.0.50' end='10.0.0.60'/>\n" + first},
		{UpdateDelete, SectionIPDHCPRange, -1, "<range start='10.0.0.10' end='10.0.0.20'/>", first, ""},
		{UpdateAddLast, SectionForwardInterface, -1, "<interface dev='eth9'/>", eth0, eth0 + "    <interface dev='eth9'/>\n"},
		{UpdateDelete, SectionForwardInterface, -1, "<interface dev='eth0'/>", "<forward dev='eth0' mode='nat'>\n" + eth0 + "  </forward>", "<forward mode='nat'/>"},
		{UpdateAddFirst, SectionPortGroup, -1, "<portgroup name='g0'/>", g1, "  <portgroup name='g0'>\n  </portgroup>\n" + g1},
		{UpdateModify, SectionPortGroup, -1, "<portgroup name='g1' default='yes' trustGuestRxFilters='no'/>", g1, "  <portgroup name='g1' default='yes' trustGuestRxFilters='no'>\n  </portgroup>\n"},
		{UpdateDelete, SectionPortGroup, -1, "<portgroup name='g2' default='yes'/>", g2, ""},
		{UpdateAddLast, SectionDNSHost, -1, "<host ip='10.0.0.7'><hostname>a</hostname></host>", hostB, hostB + "    <host ip='10.0.0.7'>\n      <hostname>a</hostname>\n    </host>\n"},
		{UpdateModify, SectionDNSHost, -1, "<host ip='10.0.0.6'><hostname>z</hostname></host>", hostB, "    <host ip='10.0.0.6'>\n      <hostname>z</hostname>\n    </host>\n"},
		{UpdateDelete, SectionDNSHost, -1, "<host><hostname>a</hostname></host>", hostA, ""},
		{UpdateAddFirst, SectionDNSTXT, -1, "<txt name='t0' value='☃'/>", t1, "    <txt name='t0' value='☃'/>\n" + t1},
		{UpdateModify, SectionDNSTXT, -1, "<txt name='t2' value='new'/>", t2, "    <txt name='t2' value='new'/>\n"},
		{UpdateDelete, SectionDNSTXT, -1, "<txt name='t2'/>", t2, ""},
		{UpdateAddLast, SectionDNSSRV, -1, "<srv service='s' protocol='tcp' domain='d2' target='y'/>", srvQ, srvQ + "    <srv service='s' protocol='tcp' domain='d2' target='y'/>\n"},
		{UpdateDelete, SectionDNSSRV, -1, "<srv domain='d2'/>", srv2, ""},
	} {
		t.Run(tt.section.String()+" "+tt.cmd.String()+" "+tt.doc, func(t *testing.T) {
			t.Parallel()
			if strings.Count(base, tt.old) != 1 {
				t.Fatalf("%q is not once in the network", tt.old)
			}
			n := mustParse(t, base)
			kept := n.Clone()
			shallow := *n
			if err := shallow.Update(tt.cmd, tt.section, tt.parent, []byte(tt.doc)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Replace(base, tt.old, tt.new, 1), shallow.Format(0)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if kept.Format(0) != n.Format(0) {
				t.Error("the update wrote into a list that it shared")
			}
		})
	}
}

func TestUpdateRefuses(t *testing.T) {
	t.Parallel()
	const (
		add  = UpdateAddLast
		mod  = UpdateModify
		del  = UpdateDelete
		host = SectionIPDHCPHost
		rng  = SectionIPDHCPRange
	)
	for _, tt := range []struct {
		cmd     UpdateCommand
		section UpdateSection
		parent  int
		refusal
	}{
		{add, SectionBridge, -1, refusal{"<bridge/>", KindNotSupported, "can't update 'bridge' section of network 'n'"}},
		{mod, SectionForwardPF, -1, refusal{"<pf/>", KindNotSupported, "can't update 'forward pf' section of network 'n'"}},
		{mod, 99, -1, refusal{"<x/>", KindNotSupported, "can't update unrecognized section of network"}},
		{9, host, -1, refusal{"<host mac='52:54:00:00:00:01' ip='10.0.0.9'/>", KindNotSupported, "unrecognized network update command code 9"}},
		{9, host, -1, refusal{"<host/>", KindXML, "Static host definition in IPv4 network 'n' must have mac or name attribute"}},
		{add, host, -1, refusal{"<host", KindDetail, "at line 1: Couldn't find end of Start Tag host line 1\n<host\n-----^"}},
		{add, host, 9, refusal{"<range/>", KindXML, "unexpected element <range>, expecting <host>, while updating network 'n'"}},
		{add, host, 9, refusal{"<host/>", KindOperation, "couldn't update dhcp host entry - no <ip> element found at index 9 in network 'n'"}},
		{add, host, 2, refusal{"<host name='x' ip='10.0.0.9'/>", KindOperation, "the address family of a host entry IP must match the address family of the dhcp element's parent"}},
		{add, host, 1, refusal{"<host name='x' ip='10.1.0.9'/>", KindOperation, "dhcp is supported only for a single IPv4 address on each network"}},
		{add, host, -1, refusal{"<host mac='00:11:22:33:44:55' ip='10.0.0.9'/>", KindOperation, `there is an existing dhcp host entry in network 'n' that matches "<host mac='00:11:22:33:44:55' name='(null)' ip='10.0.0.9'/>"`}},
		{add, host, -1, refusal{"<host name='h2' ip='10.0.0.9'/>", KindOperation, `there is an existing dhcp host entry in network 'n' that matches "<host mac='unknown' name='h2' ip='10.0.0.9'/>"`}},
		{mod, host, -1, refusal{"<host name='x' ip='10.0.0.9'/>", KindOperation, `couldn't locate an existing dhcp host entry with "mac='unknown'" "name='x'" "ip='10.0.0.9'" in network 'n'`}},
		{del, host, -1, refusal{"<host id='00'/>", KindXML, "At least one of name, mac, or ip attribute must be specified for static host definition in network 'n'"}},
		{del, host, -1, refusal{"<host name='x'/>", KindOperation, "couldn't locate a matching dhcp host entry in network 'n'"}},
		{mod, rng, -1, refusal{"<range/>", KindNotSupported, "dhcp ranges cannot be modified, only added or deleted"}},
		{add, rng, -1, refusal{"<range start='10.0.0.10' end='10.0.0.20'/>", KindOperation, `there is an existing dhcp range entry in network 'n' that matches "<range start='10.0.0.10' end='10.0.0.20'/>"`}},
		{add, rng, 1, refusal{"<range start='10.1.0.10' end='10.1.0.20'/>", KindOperation, "dhcp is supported only for a single IPv4 address on each network"}},
		{add, rng, -1, refusal{"<range start='10.9.0.10' end='10.9.0.20'/>", KindInternal, "range 10.9.0.10 - 10.9.0.20 is not entirely within network 10.0.0.1/24"}},
		{del, rng, -1, refusal{"<range start='10.0.0.10' end='10.0.0.21'/>", KindOperation, "couldn't locate a matching dhcp range entry in network 'n'"}},
		{mod, SectionForwardInterface, -1, refusal{"<interface dev='eth0'/>", KindNotSupported, "forward interface entries cannot be modified, only added or deleted"}},
		{add, SectionForwardInterface, -1, refusal{"<interface/>", KindXML, "missing dev attribute in <interface> element"}},
		{add, SectionForwardInterface, -1, refusal{"<interface dev='eth0'/>", KindOperation, `there is an existing interface entry in network 'n' that matches "<interface dev='eth0'>"`}},
		{add, SectionForwardInterface, -1, refusal{"<interface dev='a b'/>", KindDetail, "invalid char in device name: 0x20"}},
		{del, SectionForwardInterface, -1, refusal{"<interface dev='eth9'/>", KindOperation, "couldn't find an interface entry in network 'n' matching <interface dev='eth9'>"}},
		{add, SectionPortGroup, -1, refusal{"<portgroup name='g2'/>", KindOperation, `there is an existing portgroup entry in network 'n' that matches "<portgroup name='g2'>"`}},
		{mod, SectionPortGroup, -1, refusal{"<portgroup name='g9'/>", KindOperation, "couldn't find a portgroup entry in network 'n' matching <portgroup name='g9'>"}},
		{mod, SectionPortGroup, -1, refusal{"<portgroup name='g2' default='yes'/>", KindOperation, "a different portgroup entry in network 'n' is already set as the default. Only one default is allowed."}},
		{add, SectionDNSHost, -1, refusal{"<host ip='10.0.0.5'><hostname>z</hostname></host>", KindOperation, "there is already at least one DNS HOST record with a matching field in network n"}},
		{mod, SectionDNSHost, -1, refusal{"<host><hostname>a</hostname></host>", KindOperation, "couldn't locate a matching DNS HOST record in network n"}},
		{del, SectionDNSHost, -1, refusal{"<host><hostname>b</hostname></host>", KindOperation, "multiple matching DNS HOST records were found in network n"}},
		{del, SectionDNSHost, -1, refusal{"<host/>", KindDetail, "Missing ip and hostname in network 'n' DNS HOST record"}},
		{add, SectionDNSTXT, -1, refusal{"<txt name='t1' value='x'/>", KindOperation, "there is already a DNS TXT record with name 't1' in network n"}},
		{mod, SectionDNSTXT, -1, refusal{"<txt name='t1'/>", KindOperation, "missing value of modifying DNS TXT record in network n"}},
		{mod, SectionDNSTXT, -1, refusal{"<txt name='t9' value='x'/>", KindOperation, "couldn't locate a matching DNS TXT record in network n"}},
		{mod, SectionDNSTXT, -1, refusal{"<txt name='t1' value='a&#10;b'/>", KindDetail, "invalid line break in TXT record value"}},
		{mod, SectionDNSSRV, -1, refusal{"<x/>", KindNotSupported, "DNS SRV records cannot be modified, only added or deleted"}},
		{add, SectionDNSSRV, -1, refusal{"<srv service='s' protocol='tcp' domain='d1'/>", KindOperation, "there is already at least one DNS SRV record matching all specified fields in network n"}},
		{del, SectionDNSSRV, -1, refusal{"<srv service='s'/>", KindOperation, "multiple DNS SRV records matching all specified fields were found in network n"}},
		{del, SectionDNSSRV, -1, refusal{"<srv protocol='sctp'/>", KindOperation, "couldn't locate a matching DNS SRV record in network n"}},
	} {
		t.Run(tt.section.String()+" "+tt.cmd.String()+" "+tt.doc, func(t *testing.T) {
			t.Parallel()
			n := mustParse(t, base)
			wantRefusal(t, n.Update(tt.cmd, tt.section, tt.parent, []byte(tt.doc)), tt.kind, tt.msg)
			if diff := cmp.Diff(base, n.Format(0)); diff != "" {
				t.Errorf("a refused update changed the network (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUpdateWithoutIP(t *testing.T) {
	t.Parallel()
	n := mustParse(t, inside(""))
	err := n.Update(UpdateAddLast, SectionIPDHCPHost, -1, []byte("<host name='a' ip='10.0.0.2'/>"))
	wantRefusal(t, err, KindOperation, "couldn't update dhcp host entry - no <ip> element found in network 'n'")
	n = mustParse(t, inside("<ip type='auto'/>"))
	err = n.Update(UpdateAddLast, SectionIPDHCPHost, 0, []byte("<host name='a' ip='10.0.0.2'/>"))
	wantRefusal(t, err, KindOperation, "the address of <ip type='auto'> in network 'n' is not chosen yet")
}

func TestUpdateInterfaceInUse(t *testing.T) {
	t.Parallel()
	n := mustParse(t, base)
	n.Forward.Interfaces[0].Connections = 2
	err := n.Update(UpdateDelete, SectionForwardInterface, -1, []byte("<interface dev='eth0'/>"))
	wantRefusal(t, err, KindOperation, "unable to delete interface 'eth0' in network 'n'. It is currently being used by 2 domains.")
}
