package schemas_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/virbr/virbr/schemas"
)

// TestAnyOrder shuffles the children of a network that has them all. libxml2
// in particular takes some orders of a schema's interleave and not others.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	children := []string{
		"<uuid>81ff0d90-c91e-6742-64da-4a736edb9a9b</uuid>", "<title>t</title>", "<description>d</description>",
		"<metadata><a xmlns='urn:a'/><network xmlns='urn:virbr:network:1'/><b xmlns='urn:b'/></metadata>",
		"<bridge name='virbr0'/>", "<mtu size='1500'/>", "<mac address='52:54:00:17:3f:37'/>", "<domain name='d'/>",
		"<d:options xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'><d:option value='v'/></d:options>",
		"<ip address='10.0.0.1'/>", "<ip family='ipv6' address='2001:db8::1'/>", "<ip type='auto'/>",
		"<route address='10.1.0.0' prefix='16' gateway='10.0.0.2'/>", "<route family='ipv6' address='2001:db8:1::' prefix='48' gateway='2001:db8::2'/>",
		"<ipv6 advprefix='ula'/>", "<virtualport type='openvswitch'/>", "<vlan><tag id='1'/></vlan>", "<bandwidth/>",
		"<port isolated='yes'/>", "<portgroup name='g'/>", "<portgroup name='h'/>",
	}
	forward := []string{"<driver name='vfio'/>", "<nat/>", "<pf dev='a'/>", "<interface dev='b'/>", "<interface dev='c'/>"}
	dns := []string{
		"<forwarder addr='1.1.1.1'/>", "<forwarder domain='d'/>", "<txt name='t' value=''/>", "<txt name='u' value=''/>",
		"<srv service='s' protocol='tcp'/>", "<srv service='s' protocol='udp'/>", "<host ip='10.0.0.5'><hostname>h</hostname></host>",
	}
	dhcp := []string{
		"<range start='10.0.0.2' end='10.0.0.3'/>", "<range start='10.0.1.2' end='10.0.1.3'/>",
		"<host name='h' ip='10.0.0.5'/>", "<host mac='52:54:00:17:3f:38' ip='10.0.0.6'/>", "<bootp file='f'/>",
	}
	random := rand.New(rand.NewPCG(1, 2))
	shuffled := func(list []string) string {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return strings.Join(list, "\n")
	}
	var rules []rule
	for i := range 200 {
		all := append(children[:len(children):len(children)],
			"<forward>"+shuffled(forward)+"</forward>", "<dns>"+shuffled(dns)+"</dns>",
			"<ip address='10.0.0.1' prefix='8'><dhcp>"+shuffled(dhcp)+"</dhcp><tftp root='/'/></ip>")
		rules = append(rules, rule{fmt.Sprintf("order %d", i), shuffled(all), ""})
	}
	check(t, "network.rng", schemas.New().ValidateNetwork, within(inNetwork, rules))
}
