package netlink

import (
	"bytes"
	"crypto/sha256"
	"net/netip"
	"slices"

	"github.com/google/nftables/userdata"

	"github.com/virbr/virbr/firewall"
)

// encoding is part of every digest. Raise it when the same rule is encoded in
// another way, so that an upgrade replaces what the older version installed.
const encoding = "1 "

// What we write into a rule's user data: types and lengths of one byte, and
// values. nft reads type 0 (a comment) and skips those that it does not know.
const (
	digestType userdata.Type = 0x76 // of the rule's text
	prefixType userdata.Type = 0x77 // a subnet that leads to the rule's chain
)

// records returns the user data for the rules of a chain: what each says, and
// the subnets that lead to the chain from an interval map, one a rule. With them
// a network's elements are known without reading a map that holds everybody's.
func records(c firewall.Chain, elements []firewall.Element) [][]byte {
	var out [][]byte
	for _, r := range c.Rules {
		sum := sha256.Sum256([]byte(encoding + r.String()))
		out = append(out, userdata.Append(nil, digestType, sum[:16]))
	}
	i := 0
	for _, e := range elements {
		if e.Chain != c.Name || !e.Prefix.IsValid() || i == len(out) {
			continue
		}
		key, _ := e.Prefix.MarshalBinary() // has no error
		out[i] = userdata.Append(out[i], prefixType, key)
		i++
	}
	return out
}

// same reports whether a chain's rules are those wanted, by their records.
func same(want [][]byte, have []kernelRule) bool {
	return slices.EqualFunc(want, have, func(w []byte, h kernelRule) bool { return bytes.Equal(w, h.userdata) })
}

// recorded returns the subnets that a chain's rules tell of.
func recorded(rules []kernelRule) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range rules {
		for data := r.userdata; len(data) >= 2 && len(data) >= 2+int(data[1]); data = data[2+int(data[1]):] {
			var p netip.Prefix
			if data[0] == byte(prefixType) && p.UnmarshalBinary(data[2:2+int(data[1])]) == nil && p.IsValid() {
				out = append(out, p)
			}
		}
	}
	return out
}
