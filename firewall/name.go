package firewall

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDevice is the longest name of a network device, in bytes (IFNAMSIZ less
// the final NUL).
const maxDevice = 15

// ChainName returns the name of a bridge's chain that a map leads to:
// "leave_virbr0". Characters that nft takes in device names but not in the
// names of chains are written as "/" and two hex digits; no device name has a
// "/", so different bridges never share a chain.
func ChainName(m, bridge string) string {
	var b strings.Builder
	b.WriteString(m)
	b.WriteByte('_')
	for _, c := range []byte(bridge) {
		if isAlnum(c) || c == '_' || c == '.' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "/%02x", c)
		}
	}
	return b.String()
}

// ChainBridge is the reverse of ChainName; false where the chain is not one of
// map m's, or not named by ChainName.
func ChainBridge(m, chain string) (bridge string, ok bool) {
	rest, ok := strings.CutPrefix(chain, m+"_")
	if !ok {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		if rest[i] != '/' {
			b.WriteByte(rest[i])
			continue
		}
		var c byte
		if _, err := fmt.Sscanf(rest[i:min(i+3, len(rest))], "/%02x", &c); err != nil {
			return "", false
		}
		b.WriteByte(c)
		i += 2
	}
	bridge = b.String()
	return bridge, CheckDevice(bridge) == nil && ChainName(m, bridge) == chain
}

// CheckDevice refuses the names of devices that cannot be written into a rule.
// The kernel allows more, but "*" is a pattern in nft, and quotes and control
// characters have no place in a rule.
func CheckDevice(name string) error {
	switch {
	case name == "" || len(name) > maxDevice || name == "." || name == "..":
		return fmt.Errorf("%q is not the name of a network device", name)
	}
	for _, c := range name {
		if unicode.IsControl(c) || unicode.IsSpace(c) || c == utf8.RuneError || strings.ContainsRune(`/,*"%`, c) {
			return fmt.Errorf("device name %q has %q, which firewall rules cannot hold", name, c)
		}
	}
	return nil
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
