package delegation

import (
	"strings"
	"testing"
	"time"
)

// TestNetworkd: what systemd-networkd says of a link, as version 254 does, and of the host,
// as version 252 does after a router took 2001:db8:100::/56 away and gave another one.
func TestNetworkd(t *testing.T) {
	t.Parallel()
	const boot = 1000 * time.Second
	now := start()
	link := `{"Name":"eth0","NetworkFile":"/etc/systemd/network/eth0.network","DHCPv6Client":{"Prefixes":[
{"Prefix":[32,1,13,184,1,0,0,0,0,0,0,0,0,0,0,0],"PrefixLength":56,"PreferredLifetimeUSec":1600000000,"ValidLifetimeUSec":2600000000},
{"Prefix":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"PrefixLength":-1},{"Prefix":[254,128,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"PrefixLength":64}]}}`
	configures, list, err := Networkd([]byte(link), boot, now)
	if err != nil || !configures || len(list) != 1 || list[0].Prefix.String() != "2001:db8:100::/56" ||
		list[0].Preferred.Sub(now) != 600*time.Second || list[0].Valid.Sub(now) != 1600*time.Second {
		t.Errorf("%v %+v, %v", configures, list, err)
	}
	route := func(network, usec string) string {
		return `{"Family":10,"Destination":[32,1,13,184,` + network + `,0,0,0,0,0,0,0,0,0,0,0],"DestinationPrefixLength":56,"Type":7,"LifetimeUSec":` + usec + `,"ConfigSource":"DHCPv6"}`
	}
	host := `{"Interfaces":[],"Routes":[` + route("1", "3000000000") + `,` + route("2", "3012000000") + `,` + strings.Replace(route("3", "3012000000"), "DHCPv6", "static", 1) +
		`,{"Family":2,"Destination":[10,0,0,0],"Type":7,"ConfigSource":"DHCPv6"}]}`
	list, err = NetworkdRoutes([]byte(host), boot, now)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if seconds, _ := list[0].Advertised(time.Time{}, now); seconds != 0 || list[0].Valid.Sub(now) != 2000*time.Second {
		t.Errorf("what was taken away is promised for %d seconds: %+v", seconds, list[0])
	}
	if seconds, _ := list[1].Advertised(time.Time{}, now); seconds == 0 {
		t.Errorf("what was given is not promised: %+v", list[1])
	}
	for _, text := range []string{"", "[]", `{"DHCPv6Client":7}`, `{"Routes":{}}`} {
		if _, list, err := Networkd([]byte(text), boot, now); err == nil && len(list) > 0 {
			t.Errorf("%q: %+v", text, list)
		}
		if list, err := NetworkdRoutes([]byte(text), boot, now); err == nil && len(list) > 0 {
			t.Errorf("%q: %+v", text, list)
		}
	}
}
