package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/virbr/virbr/delegation"
	"github.com/virbr/virbr/xml"
)

// Delegated returns the delegated prefix that a running network has a subnet of, and the
// link that it came by; false: it has none.
func (f *Facts) Delegated(def *xml.Network) (p delegation.Prefix, h delegation.Holding, ok bool) {
	if def == nil || def.Advertise == nil || def.Advertise.Live.Via == "" {
		return p, h, false
	}
	addr, _ := def.Advertise.Address()
	h = f.Delegations[def.Advertise.Live.Via]
	for _, p := range h.Lease.Prefixes {
		if p.Prefix.Contains(addr.Addr()) {
			return p, h, true
		}
	}
	return p, h, false
}

// undelegated tells of a running network that is to have a delegated prefix, and has a
// local one.
func (w *walker) undelegated() {
	a := w.n.Def.Advertise
	if !w.n.Active || a == nil || a.From != "auto" {
		return
	}
	if p, _ := a.Address(); !xml.Local(p) {
		return
	}
	links := []string{a.Uplink}
	if a.Uplink == "" {
		links = slices.Sorted(maps.Keys(w.f.Delegations))
	}
	for _, link := range links {
		h, asked := w.f.Delegations[link]
		if !asked && a.Uplink == "" {
			continue
		}
		f := Finding{
			Evidence: []string{link + ": " + offered(h.Lease, w.f.Checked)},
			Note: fmt.Sprintf("see what is asked and answered: tcpdump -vni %s udp port 546 or udp port 547; the router must delegate prefixes by DHCPv6 (IA_PD), "+
				"and not to another host alone", quote(link)),
			Text: fmt.Sprintf("the router on %s delegates no prefix: the network has a local one", link),
		}
		if len(h.Lease.At(time.Unix(w.f.Checked, 0)).Prefixes) > 0 {
			f.Text = fmt.Sprintf("what the router on %s delegates is too little for all networks: this one has a local prefix", link)
			f.Note = fmt.Sprintf("prefix_pool = [ \"delegated:%s/56\" ] in /etc/virbr/virbrd.conf wishes for more, then systemctl reload virbrd", link)
		} else if h.Problem != "" {
			f.Evidence = append(f.Evidence, h.Problem)
		}
		w.tell(prefixUndelegated, f)
	}
}

func offered(l delegation.Lease, checked int64) string {
	var words []string
	for _, p := range l.At(time.Unix(checked, 0)).Prefixes {
		words = append(words, p.Prefix.String())
	}
	if len(words) == 0 {
		return "nothing is delegated"
	}
	return "delegated " + strings.Join(words, ", ")
}
