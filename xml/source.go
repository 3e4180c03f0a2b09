package xml

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxSources bounds the sources of one forward.
const maxSources = 100

// ParseSources reads a list of prefixes and addresses, with commas or blanks between.
// The result is in order, without what is in another one of it.
func ParseSources(text string) ([]netip.Prefix, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\n\r", r) })
	switch {
	case len(words) == 0:
		return nil, errors.New("names nobody: leave it out for everybody")
	case len(words) > maxSources:
		return nil, fmt.Errorf("has more than %d prefixes", maxSources)
	}
	var list []netip.Prefix
	for _, word := range words {
		p, err := netip.ParsePrefix(word)
		if a, plain := netip.ParseAddr(word); plain == nil && a.Zone() == "" {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil || p.Addr().Is4In6() {
			return nil, fmt.Errorf("'%s' is neither an IPv4 or IPv6 prefix such as 203.0.113.0/24, nor an address", word)
		}
		list = append(list, p.Masked())
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int { // the wider one first
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	var out []netip.Prefix
	for _, p := range list {
		if n := len(out); n == 0 || !out[n-1].Contains(p.Addr()) {
			out = append(out, p)
		}
	}
	return out, nil
}

// Sources prints who may use a forward: "203.0.113.0/24,2001:db8::1"; "": everybody.
func (f *PortForward) Sources() string {
	var words []string
	for _, p := range f.From {
		if p.IsSingleIP() {
			words = append(words, p.Addr().String())
		} else {
			words = append(words, p.String())
		}
	}
	return strings.Join(words, ",")
}
