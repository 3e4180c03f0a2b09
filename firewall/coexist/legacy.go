package coexist

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// ParseListing reads a table of the iptables that was before nf_tables,
// as its program lists it (-S). family is IPv4 or IPv6. Handles are the numbers
// of rules in their chains. Options that are not understood are conditions of
// which nothing is known.
func ParseListing(family, table, listing string) Table {
	t := Table{Family: family, Name: table, Legacy: true}
	index := map[string]int{}
	for line := range strings.Lines(listing) {
		words := splitWords(strings.TrimSuffix(line, "\n"))
		if len(words) < 2 {
			continue
		}
		name := words[1]
		switch words[0] {
		case "-P", "-N":
			c := Chain{Name: name, Drop: len(words) > 2 && words[2] == "DROP"}
			if words[0] == "-P" {
				c.Hook, c.Priority = builtin[name], priorities[table]
			}
			index[name] = len(t.Chains)
			t.Chains = append(t.Chains, c)
		case "-A":
			i, ok := index[name]
			if !ok {
				continue
			}
			c := &t.Chains[i]
			l := listed{words: words[2:], rule: Rule{Handle: uint64(len(c.Rules) + 1), spec: strings.TrimPrefix(strings.TrimSpace(line), "-A "+name+" ")}}
			l.parse()
			c.Rules = append(c.Rules, l.rule)
		}
	}
	return t
}

// builtin are the chains that the kernel calls.
var builtin = map[string]Hook{"INPUT": Input, "FORWARD": Forward, "OUTPUT": Output, "PREROUTING": Prerouting, "POSTROUTING": Postrouting}

// priorities are those of the tables of x_tables (enum nf_ip_hook_priorities); nat has
// one for each of its hooks, on both sides of filter.
var priorities = map[string]int32{"raw": priorityRaw, "mangle": -150, "security": 50}

// splitWords splits a line at blanks outside of quotes, within which a backslash
// has the next character as it is.
func splitWords(line string) []string {
	var words []string
	var word strings.Builder
	inside, quoted := false, false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quoted && i+1 < len(line):
			i++
			word.WriteByte(line[i])
		case c == '"':
			quoted = !quoted
			inside = true
		case c == ' ' && !quoted:
			if inside {
				words = append(words, word.String())
			}
			word.Reset()
			inside = false
		default:
			word.WriteByte(c)
			inside = true
		}
	}
	if inside {
		words = append(words, word.String())
	}
	return words
}

// listed is one rule of a listing, while it is read.
type listed struct {
	words []string
	rule  Rule
	not   bool
	last  string // extension
}

func (l *listed) next() string {
	if len(l.words) == 0 {
		return ""
	}
	w := l.words[0]
	l.words = l.words[1:]
	return w
}

func (l *listed) parse() {
	for len(l.words) > 0 {
		option := l.next()
		if option == "!" {
			l.not = true
			continue
		}
		l.option(option)
		l.not = false
	}
}

func (l *listed) option(option string) {
	switch option {
	case "-m":
		l.last = l.next()
	case "-i":
		l.match(InName, interfaceName(l.next()))
	case "-o":
		l.match(OutName, interfaceName(l.next()))
	case "-p":
		l.protocol(l.next())
	case "-s":
		l.address(Source)
	case "-d":
		l.address(Dest)
	case "--dport", "--dports":
		l.ports(DestPort)
	case "--sport", "--sports":
		l.ports(FromPort)
	case "--icmp-type", "--icmpv6-type":
		l.numbers(ICMPType)
	case "--state", "--ctstate":
		l.states()
	case "--dst-type":
		l.casts()
	case "--comment":
		l.rule.Comment = l.next()
	case "-j", "-g":
		target := l.next()
		l.rule.Verdict, l.rule.Marks = TargetVerdict(target), SetsMark(target)
		if option == "-g" {
			l.rule.Verdict.Kind = Goto
		}
		l.words = nil // options of the target
	default:
		for len(l.words) > 0 && !strings.HasPrefix(l.words[0], "-") && l.words[0] != "!" {
			l.next()
		}
		l.rule.Match = append(l.rule.Match, Match{Text: l.last})
	}
}

func (l *listed) match(f Field, values ...Value) {
	l.rule.Match = append(l.rule.Match, Match{Field: f, Not: l.not, Values: values})
}

func (l *listed) unknown() { l.rule.Match = append(l.rule.Match, Match{Text: l.last}) }

func interfaceName(word string) Value {
	name, wild := strings.CutSuffix(word, "+")
	return Value{Name: name, Wild: wild}
}

func (l *listed) protocol(word string) {
	n, ok := protocols[word]
	if word == "ipv6-icmp" {
		n, ok = protoICMPv6, true
	}
	if !ok {
		var err error
		if n, err = strconv.ParseUint(word, 10, 8); err != nil {
			l.unknown()
			return
		}
	}
	l.match(L4Proto, Value{Low: n, High: n})
}

func (l *listed) address(f Field) {
	p, err := netip.ParsePrefix(l.next())
	if err != nil {
		l.unknown()
		return
	}
	l.match(f, Value{Prefix: p})
}

func (l *listed) ports(f Field) {
	var values []Value
	for part := range strings.SplitSeq(l.next(), ",") {
		low, high, isRange := strings.Cut(part, ":")
		if !isRange {
			high = low
		}
		a, err1 := strconv.ParseUint(low, 10, 16)
		b, err2 := strconv.ParseUint(high, 10, 16)
		if err1 != nil || err2 != nil {
			l.unknown()
			return
		}
		values = append(values, Value{Low: a, High: b})
	}
	l.match(f, values...)
}

func (l *listed) numbers(f Field) {
	n, err := strconv.ParseUint(l.next(), 10, 8)
	if err != nil { // with a code, or by name
		l.unknown()
		return
	}
	l.match(f, Value{Low: n, High: n})
}

func (l *listed) states() {
	var bits uint64
	for word := range strings.SplitSeq(strings.ToLower(l.next()), ",") {
		i := slices.IndexFunc(states, func(s stateName) bool { return s.name == word })
		if i < 0 {
			l.unknown()
			return
		}
		bits |= states[i].bit
	}
	l.match(State, Value{Low: bits, High: bits})
}

func (l *listed) casts() {
	var values []Value
	for word := range strings.SplitSeq(strings.ToLower(l.next()), ",") {
		for n, name := range casts {
			if name == word {
				values = append(values, Value{Low: n, High: n})
			}
		}
	}
	l.match(DestCast, values...)
}

// targets are those of x_tables of which it is known what they do with a packet
// (iptables-extensions(8)).
var targets = map[string]VerdictKind{
	"ACCEPT": Accept, "DROP": Drop, "RETURN": Return, "REJECT": Reject, "TARPIT": Reject, "NFQUEUE": Other, "QUEUE": Other, "SYNPROXY": Other,
	"LOG": Continue, "NFLOG": Continue, "ULOG": Continue, "AUDIT": Continue, "MARK": Continue, "CONNMARK": Continue, "SECMARK": Continue,
	"CONNSECMARK": Continue, "CLASSIFY": Continue, "DSCP": Continue, "TOS": Continue, "TTL": Continue, "HL": Continue, "TCPMSS": Continue,
	"TCPOPTSTRIP": Continue, "TEE": Continue, "TRACE": Continue, "CT": Continue, "NOTRACK": Continue, "SET": Continue, "RATEEST": Continue,
	"LED": Continue, "CHECKSUM": Continue, "IDLETIMER": Continue, "HMARK": Continue,
}

// SetsMark reports whether a target of x_tables sets the mark of a packet.
func SetsMark(target string) bool {
	return target == "MARK" || target == "CONNMARK" || target == "HMARK"
}

// TargetVerdict returns what a target of x_tables does; others than its own are
// chains.
func TargetVerdict(name string) Verdict {
	if kind, ok := targets[name]; ok {
		return Verdict{Kind: kind}
	}
	switch name {
	case "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP":
		return Verdict{Kind: Accept, Rewrites: strings.ToLower(name)}
	}
	return Verdict{Kind: Jump, Chain: name}
}

// Script returns what the restore program of the older iptables is to read for
// the change of such a table, without flushing it. Rules of ours are deleted by
// what they say, so nobody else's can be meant.
func (c *Change) Script() string {
	var b strings.Builder
	b.WriteString("*" + c.Table + "\n")
	for _, d := range c.Delete {
		fmt.Fprintf(&b, "-D %s %s\n", d.Chain, d.spec)
	}
	inserted := map[string][]uint64{}
	for _, in := range c.Insert {
		accept := iptablesAccept(c.Family, in)
		if in.Before == 0 {
			fmt.Fprintf(&b, "-A %s %s\n", in.Chain, accept)
			continue
		}
		at := in.Before
		for _, d := range c.Delete {
			if d.Chain == in.Chain && d.Handle < in.Before {
				at--
			}
		}
		for _, other := range inserted[in.Chain] {
			if other <= in.Before {
				at++
			}
		}
		inserted[in.Chain] = append(inserted[in.Chain], in.Before)
		fmt.Fprintf(&b, "-I %s %d %s\n", in.Chain, at, accept)
	}
	return b.String() + "COMMIT\n"
}

// iptablesAccept is an accepting rule in iptables' words.
func iptablesAccept(family string, in Insertion) string {
	a := in.Accept
	words := iptablesWords(a)
	if family == IPv6 {
		words = strings.Replace(words, "-p icmpv6", "-p ipv6-icmp", 1)
	}
	return fmt.Sprintf("%s -m comment --comment %q -j ACCEPT", words, in.Comment)
}
