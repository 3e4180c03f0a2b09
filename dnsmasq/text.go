package dnsmasq

import "strings"

// textValue writes the value of a TXT record. As with libvirt commas and quotes
// have the meaning that they have for dnsmasq: a comma begins another string of the
// record, and between quotes it is a comma. With libvirt a quote without a partner
// keeps dnsmasq from starting, and a # at the beginning of a word ends the value;
// here they are what they look like.
func textValue(value string) string {
	list, clean := textStrings(value)
	if clean {
		return value
	}
	return `"` + strings.Join(list, `","`) + `"`
}

// textStrings reads a value as dnsmasq's read_file does, and returns the strings as
// they stand between quotes. It is not clean where dnsmasq would not read all of it.
func textStrings(value string) (list []string, clean bool) {
	var b strings.Builder
	clean = true
	blank, behind := false, false // the character before ended a word; a group
	for i := 0; i < len(value); i++ {
		c := value[i]
		if end := groupEnd(value, i); end > 0 && !behind {
			b.WriteString(value[i+1 : end-1])
			i, behind = end-1, true
			continue
		}
		switch {
		case c == ',':
			list = append(list, b.String())
			b.Reset()
		case c == '"' || c == '\\':
			clean = clean && (c == '\\' || behind)
			b.WriteString(`\` + string(c))
		default:
			clean = clean && (c != '#' || !blank)
			b.WriteByte(c)
		}
		blank, behind = c == ' ' || c == '\t', false
	}
	return append(list, b.String()), clean
}

// groupEnd returns where a group in quotes ends that begins at i; 0: it has no
// end, or begins nothing.
func groupEnd(value string, i int) int {
	if value[i] != '"' {
		return 0
	}
	for j := i + 1; j < len(value); j++ {
		switch {
		case value[j] == '"':
			return j + 1
		case value[j] == '\\' && j+1 < len(value) && strings.IndexByte(`"tnebr\`, value[j+1]) >= 0:
			j++
		}
	}
	return 0
}
