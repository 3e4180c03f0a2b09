package coexist

import (
	"fmt"
	"strconv"
	"strings"
)

// words are those of a text about a packet.
type words []string

// add adds some that hold of the packet.
func (w *words) add(hold bool, format string, args ...any) {
	if hold {
		*w = append(*w, fmt.Sprintf(format, args...))
	}
}

func (w words) String() string { return strings.Join(w, " ") }

// String returns the rule about as nft prints it. Conditions that are not
// understood stand in brackets, by the name of their expression.
func (r Rule) String() string {
	var words []string
	for _, m := range r.Match {
		words = append(words, m.String())
	}
	switch {
	case len(r.Map) > 0:
		words = append(words, string(r.Key)+" vmap { ... }")
	case r.Verdict.Kind != Continue:
		words = append(words, r.Verdict.String())
	}
	if r.Comment != "" {
		words = append(words, "comment "+strconv.Quote(r.Comment))
	}
	return strings.Join(words, " ")
}

func (v Verdict) String() string {
	if v.Text != "" {
		return v.Text
	}
	switch v.Kind {
	case Continue:
		return "continue"
	case Accept:
		if v.Rewrites != "" {
			return v.Rewrites
		}
		return "accept"
	case Drop:
		return "drop"
	case Reject:
		return "reject"
	case Jump:
		return "jump " + v.Chain
	case Goto:
		return "goto " + v.Chain
	case Return:
		return "return"
	case Other:
	}
	return "[verdict]"
}

// maxValues is how many values of a set are printed.
const maxValues = 16

func (m Match) String() string {
	if m.Field == Unknown {
		return "[" + m.Text + "]"
	}
	var values []string
	for _, v := range m.Values[:min(len(m.Values), maxValues)] {
		values = append(values, v.text(m.Field))
	}
	if len(m.Values) > maxValues {
		values = append(values, "...")
	}
	text := string(m.Field) + " "
	if m.Not {
		text += "!= "
	}
	switch len(values) {
	case 0:
		return text + "{ ... }"
	case 1:
		return text + values[0]
	}
	return text + "{ " + strings.Join(values, ", ") + " }"
}

func (v Value) text(f Field) string {
	switch f {
	case InName, OutName:
		if v.Wild {
			return strconv.Quote(v.Name + "*")
		}
		return strconv.Quote(v.Name)
	case Source, Dest:
		if v.Prefix.IsSingleIP() {
			return v.Prefix.Addr().String()
		}
		return v.Prefix.String()
	case State:
		return stateText(v.Low)
	case L4Proto:
		for name, n := range protocols {
			if n == v.Low && n == v.High {
				return name
			}
		}
	case DestCast:
		if name := casts[v.Low]; name != "" && v.Low == v.High {
			return name
		}
	case BackAny, BackIn:
		return map[bool]string{true: "exists", false: "missing"}[v.Low == Exists]
	case PacketMark:
		return fmt.Sprintf("%#x", v.Low)
	case NFProto, DestPort, FromPort, ICMPType, Unknown:
	}
	if v.Low != v.High {
		return fmt.Sprintf("%d-%d", v.Low, v.High)
	}
	return strconv.FormatUint(v.Low, 10)
}

// casts are nft's words for DestCast.
var casts = map[uint64]string{CastUnicast: "unicast", CastLocal: "local", CastBroadcast: "broadcast", CastMulticast: "multicast"}

type stateName struct {
	bit  uint64
	name string
}

// states names the bits of State, in nft's order.
var states = []stateName{
	{StateInvalid, "invalid"}, {StateEstablished, "established"}, {StateRelated, "related"}, {StateNew, "new"}, {StateUntracked, "untracked"},
	{StateTranslated, "dnat"},
}

func stateText(bits uint64) string {
	var words []string
	for _, s := range states {
		if bits&s.bit != 0 {
			words = append(words, s.name)
		}
	}
	return strings.Join(words, ",")
}
