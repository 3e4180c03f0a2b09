package firewall_test

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/virbr/virbr/firewall"
)

// FuzzValidate: rules that were read from an undo record and are valid print, and
// every name in their text is their own bridge's, a device's or one of our table's.
// Words that are none, such as those that end a string or a command, do not come
// through.
func FuzzValidate(f *testing.F) {
	for place := range places {
		for at, word := range []string{"virbr0", "x\" accept", "leave_virbr0", "10.0.0.0/8", "fd00::/64", "192.0.2.1", "tcp", "#", ""} {
			f.Add(uint16(at), uint8(place), word)
		}
	}
	f.Fuzz(func(t *testing.T, at uint16, place uint8, word string) {
		n := compile(t, def(nil))
		n.Fast = []string{"eth0"}
		places[int(place)%len(places)](n, int(at), word)
		data, err := json.Marshal(n) // as it is in a record
		var back firewall.Network
		if err != nil || json.Unmarshal(data, &back) != nil || back.Validate() != nil {
			return
		}
		wantPlain(t, back.String())
	})
}

// places are where a record may have a word that is not what we wrote.
var places = []func(n *firewall.Network, at int, word string){
	func(n *firewall.Network, _ int, word string) { n.Bridge = word },
	func(n *firewall.Network, at int, word string) { n.Chains[at%len(n.Chains)].Name = word },
	func(n *firewall.Network, _ int, word string) { n.Fast[0] = word },
	func(n *firewall.Network, at int, word string) { n.Elements[at%len(n.Elements)].Name = word },
	func(n *firewall.Network, at int, word string) { n.Elements[at%len(n.Elements)].Chain = word },
	func(n *firewall.Network, at int, word string) {
		n.Elements[at%len(n.Elements)].Prefix, _ = netip.ParsePrefix(word)
	},
	func(n *firewall.Network, at int, word string) { match(n, at).Word = word },
	func(n *firewall.Network, at int, word string) { match(n, at).Prefix, _ = netip.ParsePrefix(word) },
	func(n *firewall.Network, at int, word string) {
		m := match(n, at)
		*m = firewall.Match{Field: []firewall.Field{firewall.InName, firewall.DestLink, firewall.Protocol, firewall.State}[at/7%4], Word: word}
	},
	func(n *firewall.Network, at int, word string) { rule(n, at).Do.Chain = word },
	func(n *firewall.Network, at int, word string) { rule(n, at).Do.Map = word },
	func(n *firewall.Network, at int, word string) {
		a, _ := netip.ParseAddr(word)
		rule(n, at).Do = firewall.Action{Kind: firewall.SNAT, AddrStart: a, AddrEnd: a, PortStart: uint16(at), PortEnd: uint16(at)}
	},
}

// rule returns a rule of a network, counted through all its chains.
func rule(n *firewall.Network, at int) *firewall.Rule {
	c := &n.Chains[at%len(n.Chains)]
	return &c.Rules[at/len(n.Chains)%len(c.Rules)]
}

func match(n *firewall.Network, at int) *firewall.Match {
	r := rule(n, at)
	if len(r.Match) == 0 {
		r.Match = make([]firewall.Match, 1)
	}
	return &r.Match[at%len(r.Match)]
}

// quoted matches a string, in which nft takes all that a device's name may have.
var quoted = regexp.MustCompile(`"[^"[:cntrl:]]*"`)

// wantPlain wants a ruleset's text to be made of plain words and strings.
func wantPlain(t *testing.T, text string) {
	t.Helper()
	odd := func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\t' || r > '~' || strings.ContainsRune("`$\\#'", r)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(line, "\t\t# by netlink only: ") // of a base chain
		hook := strings.HasPrefix(line, "\t\ttype ")               // the base chains' own
		if bare := quoted.ReplaceAllString(line, ""); strings.ContainsFunc(bare, odd) || strings.Contains(bare, ";") && !hook {
			t.Fatalf("%q in\n%s", line, text)
		}
		if strings.Count(line, `"`)%2 != 0 {
			t.Fatalf("a string does not end in %q", line)
		}
	}
	if bare := quoted.ReplaceAllString(text, ""); strings.Count(bare, "{") != strings.Count(bare, "}") {
		t.Fatalf("braces do not match in\n%s", text)
	}
}
