package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/virbr/virbr/xml"
)

// egress looks at which links the guests leave by.
func (w *walker) egress() bool {
	ext, err := w.n.Def.Extensions()
	if err != nil || len(ext.Uplinks) == 0 {
		return false // what cannot be read is told of with the forwards
	}
	said := w.n.Uplinks()
	if said == nil {
		return false
	}
	w.leaving(ext, said, true)
	w.leaving(ext, said, false)
	return true
}

// Uplinks are those that the network names, with what they come to, as virbrd or the hook
// says; nil: nobody does.
func (n *Network) Uplinks() []Uplink {
	switch {
	case n.Resolutions != nil:
		return n.Resolutions.Uplinks
	case n.Active && n.Started == KeeperLibvirt && n.Added != nil:
		return n.Added.Uplinks
	}
	return nil
}

// leaving says by which link guests leave in one family.
func (w *walker) leaving(ext *xml.Extensions, said []Uplink, v4 bool) {
	family := "IPv6"
	if v4 {
		family = "IPv4"
	}
	var why []string
	for i := range said {
		s := &said[i]
		u, err := xml.ParseUplink([]byte(s.XML))
		switch {
		case err != nil || s.IPv6 == v4:
		case s.Used:
			text := fmt.Sprintf("guests' %s leaves by %s", family, u.Dev)
			if s.Gateway.IsValid() {
				text += " via " + s.Gateway.String()
			}
			text += time.Unix(s.Since, 0).Format(" since 2006-01-02 15:04:05")
			if len(why) > 0 {
				w.tell(uplinkSpare, Finding{Text: text + ", not by an uplink that comes first", Evidence: why, Mend: "virbr uplink list " + operand(w.n.Name)})
			}
			w.say(text)
			return
		case s.Reason != "":
			why = append(why, u.Dev+": "+s.Reason)
		}
	}
	if !ext.Guarded(v4) {
		w.say("guests' " + family + " leaves as the host's own does")
		return
	}
	if len(why) == 0 {
		w.say("guests' " + family + " is refused: no uplink is for it")
		return
	}
	w.tell(uplinkNone, Finding{
		Text: fmt.Sprintf("guests' %s is refused: no uplink of network %s can carry it", family, w.n.Name), Evidence: why,
		Mend: "virbr uplink list " + operand(w.n.Name), Note: "it leaves as soon as one can: " + strings.Join(why, "; "),
	})
}
