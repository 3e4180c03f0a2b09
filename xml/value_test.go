package xml

import (
	"net/netip"
	"testing"
)

func TestParseUUID(t *testing.T) {
	t.Parallel()
	const want = "81ff0d90-c91e-6742-64da-4a736edb9a9b"
	for _, s := range []string{
		want, "81FF0D90C91E674264DA4A736EDB9A9B", " 81 ff-0d90-c91e-6742-64da-4a736edb9a9b\n",
	} {
		u, ok := ParseUUID(s)
		if !ok || u.String() != want {
			t.Errorf("ParseUUID(%q) = %v, %v", s, u, ok)
		}
	}
	for _, s := range []string{"", "81ff0d90", want + "0", "8" + want, "81ff0d90-c91e-6742-64da-4a736edb9a9g", "8-1ff0d90c91e674264da4a736edb9a9b"} {
		if u, ok := ParseUUID(s); ok {
			t.Errorf("ParseUUID(%q) = %v, want a refusal", s, u)
		}
	}
}

func TestParseMAC(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"52:54:00:aB:cD:0f":   "52:54:00:ab:cd:0f",
		"2:4:0:a:b:c":         "02:04:00:0a:0b:0c",
		"02:04:00:0a:0b:0c x": "02:04:00:0a:0b:0c",
	} {
		if m, ok := ParseMAC(s); !ok || m.String() != want {
			t.Errorf("ParseMAC(%q) = %v, %v, want %s", s, m, ok, want)
		}
	}
	for _, s := range []string{"", "52:54:00:00:00", "52:54:00:00:00:00:00", "52-54-00-00-00-00", "152:54:00:00:00:00", "52:54::00:00:00", "52:54:00:00:00:00x"} {
		if m, ok := ParseMAC(s); ok {
			t.Errorf("ParseMAC(%q) = %v, want a refusal", s, m)
		}
	}
}

func TestTextRoundTrip(t *testing.T) {
	t.Parallel()
	for _, u := range []UUID{{}, {1, 2, 3}} {
		var back UUID
		text, err := u.MarshalText()
		if err != nil || back.UnmarshalText(text) != nil || back != u {
			t.Errorf("UUID %v became %q and %v (%v)", u, text, back, err)
		}
	}
	for _, m := range []MAC{{}, {2, 3, 4}} {
		var back MAC
		text, err := m.MarshalText()
		if err != nil || back.UnmarshalText(text) != nil || back != m {
			t.Errorf("MAC %v became %q and %v (%v)", m, text, back, err)
		}
	}
	if new(UUID).UnmarshalText([]byte("x")) == nil || new(MAC).UnmarshalText([]byte("x")) == nil {
		t.Error("broken text was accepted")
	}
}

func TestParseAddr(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"1.2.3.4": "1.2.3.4", "1.2.3": "1.2.0.3", "1.65535": "1.0.255.255", "16909060": "1.2.3.4",
		"0x0a.010.1": "10.8.0.1", "FD00:0:0:0::1": "fd00::1", "::ffff:1.2.3.4": "::ffff:1.2.3.4",
		"::1.2.3.4": "::1.2.3.4", "1:0:0:2:0:0:0:3": "1:0:0:2::3", "::1": "::1",
	} {
		a, ok := parseAddr(s)
		if !ok || formatAddr(a) != want {
			t.Errorf("parseAddr(%q) = %v, %v, want %s", s, a, ok, want)
		}
	}
	for _, s := range []string{"", "1.2.3.4.5", "1.2.3.256", "1.65536.1", "1..2", "1.2.3.", " 1.2.3.4", "1.2.3.4 ", "+1.2.3.4", "08.1.1.1", "4294967296", "fe80::1%lo", "x", "1.2.3.4/8"} {
		if a, ok := parseAddr(s); ok {
			t.Errorf("parseAddr(%q) = %v, want a refusal", s, a)
		}
	}
}

func TestParseUint(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s    string
		base uint64
		bits int
		want uint64
		ok   bool
	}{
		{"10", 10, 32, 10, true}, {" +10", 10, 32, 10, true}, {"-1", 10, 32, 0, false}, {"", 10, 32, 0, false},
		{"10 ", 10, 32, 0, false}, {"0x10", 10, 32, 0, false}, {"0x10", 0, 32, 16, true}, {"010", 0, 32, 8, true},
		{"0", 0, 32, 0, true}, {"09", 0, 32, 0, false}, {"0x", 0, 32, 0, false},
		{"4294967295", 10, 32, 1<<32 - 1, true}, {"4294967296", 10, 32, 0, false},
		{"18446744073709551615", 10, 64, 1<<64 - 1, true}, {"18446744073709551616", 10, 64, 0, false},
	} {
		if v, ok := parseUint(tt.s, tt.base, tt.bits); ok != tt.ok || ok && v != tt.want {
			t.Errorf("parseUint(%q, %d, %d) = %d, %v, want %d, %v", tt.s, tt.base, tt.bits, v, ok, tt.want, tt.ok)
		}
	}
}

func TestSubnet(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddr
	for _, tt := range []struct {
		ip   IP
		want string // "": no subnet
	}{
		{IP{Address: addr("192.168.122.1"), Netmask: addr("255.255.255.0")}, "192.168.122.0/24"},
		{IP{Address: addr("192.168.122.1"), Prefix: 20}, "192.168.112.0/20"},
		{IP{Address: addr("10.24.10.1")}, "10.0.0.0/8"},
		{IP{Address: addr("172.24.10.1")}, "172.24.0.0/16"},
		{IP{Address: addr("192.168.7.1")}, "192.168.7.0/24"},
		{IP{Address: addr("0.0.0.0")}, "0.0.0.0/0"},
		{IP{Address: addr("224.0.0.1")}, ""},
		{IP{Address: addr("10.0.0.1"), Netmask: addr("255.0.255.0")}, ""},
		{IP{Address: addr("10.0.0.1"), Netmask: addr("0.0.0.0")}, "0.0.0.0/0"},
		{IP{Address: addr("10.0.0.1"), Netmask: addr("255.255.255.255")}, "10.0.0.1/32"},
		{IP{Family: "ipv6", Address: addr("fd00:1::1")}, "fd00:1::/64"},
		{IP{Family: "ipv6", Address: addr("fd00:1::1"), Prefix: 48}, "fd00:1::/48"},
		{IP{Auto: true}, ""},
	} {
		subnet, ok := tt.ip.Subnet()
		if got := subnet.String(); ok != (tt.want != "") || ok && got != tt.want {
			t.Errorf("%+v: subnet %s, %v, want %q", tt.ip, got, ok, tt.want)
		}
	}
}

func TestAdvertiseAddress(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{
		"2001:db8:31::/64": "2001:db8:31::1/64", "2001:db8:31:0:0:0:0:1": "2001:db8:31::1/64",
		"2001:db8:31::5/64": "2001:db8:31::5/64", "2001:db8::100/120": "2001:db8::101/120", "2001:db8:31::": "2001:db8:31::1/64",
		"ula": "", "auto": "",
	} {
		a := Advertise{Prefix: prefix}
		addr, ok := a.Address()
		if ok != (want != "") || ok && addr.String() != want {
			t.Errorf("%s: bridge address %v, %v, want %q", prefix, addr, ok, want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		ForwardPassthrough.String(): "passthrough", ForwardMode(99).String(): "ForwardMode(99)",
		Yes.String(): "yes", No.String(): "no", Unset.String(): "",
		PlugHostdevPCI.String(): "hostdev-pci", PlugType(9).String(): "PlugType(9)",
		UpdateAddFirst.String(): "add-first", SectionForwardPF.String(): "forward-pf", UpdateSection(77).String(): "77",
		PCIAddress{Bus: 6, Function: 1}.String(): "0000:06:00.1",
	} {
		if got != want {
			t.Errorf("word is %q, want %q", got, want)
		}
	}
	for c := UpdateModify; c <= UpdateAddFirst; c++ {
		if back, ok := ParseUpdateCommand(c.String()); !ok || back != c {
			t.Errorf("ParseUpdateCommand(%q) = %v, %v", c, back, ok)
		}
	}
	for s := SectionBridge; s <= SectionDNSSRV; s++ {
		if back, ok := ParseUpdateSection(s.String()); !ok || back != s {
			t.Errorf("ParseUpdateSection(%q) = %v, %v", s, back, ok)
		}
	}
	if c, ok := ParseUpdateCommand("add"); !ok || c != UpdateAddLast {
		t.Errorf("add is %v, want add-last", c)
	}
	if _, ok := ParseUpdateCommand(""); ok {
		t.Error("an empty command was accepted")
	}
	if _, ok := ParseUpdateSection("dns"); ok {
		t.Error("section dns was accepted")
	}
}
