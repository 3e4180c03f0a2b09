package schemas_test

import (
	"strings"
	"testing"

	"github.com/virbr/virbr/schemas"
)

func TestPortRules(t *testing.T) {
	t.Parallel()
	const port = `<networkport>
  <uuid>5d744f21-ba4a-4d6e-bdb2-30a35ff3207d</uuid>
  <owner><uuid>52c5e2cd-cdd4-4b91-b9a4-4dd1d7ce8e8c</uuid><name>memtest</name></owner>
  <mac address='52:54:00:7b:35:93'/>
  %s
</networkport>
`
	rules := within(port, []rule{
		{"least", "", ""},
		{"everything", `<group>g</group><virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>
			<bandwidth classID='3'><inbound average='1' floor='2' peak='3' burst='4'/><outbound average='1'/></bandwidth>
			<vlan><tag id='1'/></vlan><port isolated='no'/><rxfilters trustGuest='yes'/><plug type='bridge' bridge='br0' macTableManager='kernel'/>`, ""},
		{"group", "<group>a b</group>", `element "group": text "a b" is not allowed here, expected a group name`},
		{"virtualport without type", "<virtualport><parameters profileid='p'/></virtualport>", ""},
		{"floor alone", "<bandwidth><inbound floor='1'/></bandwidth>", ""},
		{"floor of outbound", "<bandwidth><outbound average='1' floor='1'/></bandwidth>", `attribute "floor" is not allowed here`},
		{"peak without average", "<bandwidth><inbound floor='1' peak='1'/></bandwidth>", `attribute "average" is missing`},
		{"class zero", "<bandwidth classID='0'/>", `attribute "classID": "0"`},
		{"rxfilters", "<rxfilters/>", `attribute "trustGuest" is missing`},
		{"plug none", "<plug type='none'/>", ""},
		{"plug network", "<plug type='network' bridge='virbr0'/>", ""},
		{"plug direct", "<plug type='direct' dev='ens3' mode='vepa'/>", ""},
		{"plug direct without mode", "<plug type='direct' dev='ens3'/>", ""},
		{"plug hostdev", "<plug type='hostdev-pci' managed='yes'><driver name='vfio'/><address domain='0x0001' bus='0x02' slot='0x03' function='0x4'/></plug>", ""},
		{"plug without type", "<plug bridge='virbr0'/>", `element "plug": attribute "type" is missing`},
		{"plug type", "<plug type='user'/>", `expected "none", "network", "bridge", "direct" or "hostdev-pci"`},
		{"plug without bridge", "<plug type='network'/>", `attribute "bridge" is missing`},
		{"plug without dev", "<plug type='direct' mode='vepa'/>", `attribute "dev" is missing`},
		{"plug mode", "<plug type='direct' dev='a' mode='nat'/>", `expected "vepa", "private", "bridge" or "passthrough"`},
		{"plug direct with bridge", "<plug type='direct' dev='a' bridge='b'/>", `attribute "bridge" cannot be combined with the attributes before it`},
		{"plug hostdev without address", "<plug type='hostdev-pci'/>", `element "plug": element "address" is missing`},
		{"plug none with content", "<plug type='none'><address bus='1' slot='1' function='1'/></plug>", `element "plug": element "address" is not allowed here`},
		{"two macs", "<mac address='52:54:00:7b:35:94'/>", `element "mac" may be given only once here`},
	})
	whole := rules[0].doc
	for _, r := range []rule{
		{"without uuid", "  <uuid>5d744f21-ba4a-4d6e-bdb2-30a35ff3207d</uuid>\n", `element "networkport": element "uuid" is missing`},
		{"without owner name", "<name>memtest</name>", `line 3: element "owner": element "name" is missing`},
		{"without owner uuid", "<uuid>52c5e2cd-cdd4-4b91-b9a4-4dd1d7ce8e8c</uuid>", `line 3: element "owner": element "uuid" is missing`},
		{"without mac", "<mac address='52:54:00:7b:35:93'/>", `element "networkport": element "mac" is missing`},
	} {
		r.doc = strings.Replace(whole, r.doc, "", 1)
		rules = append(rules, r)
	}
	check(t, "networkport.rng", schemas.New().ValidatePort, rules)
}
