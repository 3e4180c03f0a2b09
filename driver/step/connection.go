package step

import (
	"net/netip"
	"strings"
)

var connectionOps = []Op{EndConnections{}, EndUntranslated{}}

// EndConnections forgets the tracked connections that were translated to a guest
// (conntrack), so that what is no longer forwarded ends at once.
type EndConnections struct {
	Proto  string     // "tcp", "udp" or "sctp"; "": any
	Listen netip.Addr // where they were made to; invalid: any
	Start  uint16     // ports that they were made to; 0 to 0: any
	End    uint16
	Guest  netip.Addr // where they were translated to
	From   netip.Addr `json:",omitzero"` // the first and the last source; invalid: all
	Until  netip.Addr `json:",omitzero"`
}

func (o EndConnections) kind() kind {
	return kind{tag: "end-connections", key: o.String(), scope: ScopeMoment}
}

func (o EndConnections) String() string {
	text := "connections end to " + o.Guest.String()
	if o.Proto != "" {
		text += " " + word(o.Proto)
	}
	if o.Start != 0 {
		text += " made to " + netip.AddrPortFrom(o.Listen, o.Start).String()
	}
	if o.From.IsValid() {
		text += " from " + o.From.String() + "-" + o.Until.String()
	}
	return text
}

// EndUntranslated forgets the tracked connections that were made to what is forwarded
// now before it was, so that their next packets are translated: with conntrack a
// translation is decided about once, and UDP peers that never stop sending keep that
// alive for ever. Of protocols with connections only those go that nobody answered.
type EndUntranslated struct{ Taken []Taken }

func (o EndUntranslated) kind() kind {
	return kind{tag: "end-untranslated", key: o.String(), scope: ScopeMoment}
}

func (o EndUntranslated) String() string {
	var list []string
	for _, t := range o.Taken {
		text := t.Listen.String()
		if t.Proto != "" {
			text = word(t.Proto) + " " + netip.AddrPortFrom(t.Listen, t.Start).String()
		}
		list = append(list, text)
	}
	return "connections untranslated end to " + strings.Join(list, ", ")
}

// Taken is a run of ports that is forwarded; with a Proto "" all that is sent to an
// address.
type Taken struct {
	Proto      string     // "tcp", "udp" or "sctp"
	Listen     netip.Addr // 0.0.0.0 and ::: any of the host's of the family
	Start, End uint16
}
