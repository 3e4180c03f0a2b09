package xml

import (
	"math"
	"slices"
	"strings"
)

// parseUint reads a number as C's strtoull with a check of the whole string
// does: leading white space and a plus sign pass, a minus sign does not. Base 0
// takes the base from a 0x or 0 prefix. bits is the width of the C type.
func parseUint(s string, base uint64, bits int) (uint64, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	s = strings.TrimPrefix(s, "+")
	if base == 0 {
		base, s = detectBase(s)
	}
	if s == "" {
		return 0, false
	}
	limit := uint64(math.MaxUint64) >> (64 - bits)
	var v uint64
	for i := range len(s) {
		d := uint64(hexDigit(s[i]))
		if d >= base || v > (limit-d)/base {
			return 0, false
		}
		v = v*base + d
	}
	return v, true
}

func detectBase(s string) (uint64, string) {
	switch {
	case len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x':
		return 16, s[2:]
	case len(s) > 1 && s[0] == '0':
		return 8, s[1:]
	}
	return 10, s
}

// uintAttr reads a non-negative number from a direct attribute. given is false
// where the attribute is missing.
func (n *node) uintAttr(name string, base uint64, bits int) (v uint64, given bool, err error) {
	s, ok := n.attr(name)
	if !ok {
		return 0, false, nil
	}
	v, ok = parseUint(s, base, bits)
	if !ok {
		return 0, true, n.invalidAttr(name, s, " Expected non-negative integer value")
	}
	return v, true, nil
}

// needUint is uintAttr for a required attribute.
func (n *node) needUint(name string, base uint64, bits int) (uint64, error) {
	v, given, err := n.uintAttr(name, base, bits)
	if err == nil && !given {
		err = n.missingAttr(name)
	}
	return v, err
}

func (n *node) invalidAttr(name, value, more string) error {
	return n.fail(KindXML, OriginXML, "Invalid value for attribute '%s' in element '%s': '%s'.%s",
		name, n.name, value, more)
}

func (n *node) zeroAttr(name string) error {
	return n.fail(KindXML, OriginXML, "Invalid value for attribute '%s' in element '%s': Zero is not permitted", name, n.name)
}

func (n *node) missingAttr(name string) error {
	return n.fail(KindXML, OriginXML, "Missing required attribute '%s' in element '%s'", name, n.name)
}

// tristate reads a yes/no attribute. n may be nil.
func (n *node) tristate(name string) (Tristate, error) {
	if n == nil {
		return Unset, nil
	}
	switch v, ok := n.attr(name); {
	case !ok:
		return Unset, nil
	case v == "yes":
		return Yes, nil
	case v == "no":
		return No, nil
	default:
		return Unset, n.invalidAttr(name, v, "")
	}
}

// wordOf is enum for the words of a type, of which the first is that of the attribute
// that is missing.
func wordOf[E ~uint8](n *node, name string, words []string) (E, error) {
	word, err := n.enum(name, words[1:]...)
	return E(slices.Index(words, word)), err
}

// enum reads a direct attribute that must be one of the words; "" where it is
// missing.
func (n *node) enum(name string, words ...string) (string, error) {
	v, ok := n.attr(name)
	if !ok {
		return "", nil
	}
	for _, w := range words {
		if v == w {
			return v, nil
		}
	}
	return "", n.invalidAttr(name, v, "")
}
