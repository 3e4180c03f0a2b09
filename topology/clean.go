package topology

import (
	"strings"
	"unicode"
)

// maxName is how much of a name is shown, in characters: a label of DNS (RFC 1035).
const maxName = 63

// Printable replaces what would do things to a terminal or turn the text around:
// control and format characters. Names and rules come from others, and guests choose
// their DHCP names.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// nameOf is a printable name that is short enough to be shown.
func nameOf(text string) string {
	runes := []rune(Printable(text))
	if len(runes) > maxName {
		runes = append(runes[:maxName-1], '…')
	}
	return string(runes)
}
