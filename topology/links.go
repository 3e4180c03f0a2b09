package topology

import (
	"cmp"
	"fmt"
	"strings"
)

// link is both edges between two ends, as one line.
type link struct {
	a, b    End
	ab, ba  *Edge // nil: none
	live    int
	blocked *Block // the first one
}

// links pairs the edges of a graph, in their order.
func links(g *Graph) []*link {
	var list []*link
	at := map[[2]End]*link{}
	for i := range g.Edges {
		e := &g.Edges[i]
		l := at[[2]End{e.To, e.From}]
		if l != nil {
			l.ba = e
		} else {
			l = &link{a: e.From, b: e.To, ab: e}
			at[[2]End{e.From, e.To}] = l
			list = append(list, l)
		}
		l.live += e.Connections
		if len(e.Blocks) > 0 && l.blocked == nil {
			l.blocked = &e.Blocks[0]
		}
	}
	return list
}

// class is the CSS class of the line.
func (l *link) class() string {
	switch {
	case l.blocked != nil:
		return "block"
	case l.live > 0:
		return "now"
	}
	return "may"
}

// Text says what an edge is about: "default to lab: IPv4 NAT, 3 connections now".
func (e *Edge) Text() string { return fmt.Sprintf("%s to %s: %s", e.From, e.To, e.Passing()) }

// Passing says what passes along an edge: "IPv4 NAT, IPv6 yes; 3 connections now".
func (e *Edge) Passing() string {
	var words []string
	for i, v := range []Verdict{e.IPv4, e.IPv6} {
		if v.Arrives() {
			words = append(words, [2]string{"IPv4 ", "IPv6 "}[i]+string(v))
		}
	}
	text := strings.Join(words, ", ")
	switch {
	case e.Connections == 1:
		text += "; 1 connection now"
	case e.Connections > 1:
		text += fmt.Sprintf("; %d connections now", e.Connections)
	}
	for _, b := range e.Blocks {
		text += "; blocked by " + b.Why
		if b.Mend != "" {
			text += "; to mend it: " + b.Mend
		}
	}
	return text
}

// text says what both directions of a line are about.
func (l *link) text() string {
	var words []string
	for _, e := range []*Edge{l.ab, l.ba} {
		if e != nil {
			words = append(words, e.Text())
		}
	}
	return strings.Join(words, ". ")
}

// Text says what a network is: its mode, subnets, leases and health.
func (n *Network) Text() string {
	words := []string{"network " + n.Name, n.Mode}
	for _, p := range n.Subnets {
		words = append(words, p.String())
	}
	if n.Bridge != "" {
		words = append(words, "bridge "+n.Bridge)
	}
	for _, p := range n.Pools {
		words = append(words, p.Text())
	}
	return strings.Join(append(words, fmt.Sprintf("%d guests", len(n.Guests)), "health "+string(n.Health)), ", ")
}

// Text says how much of a pool is used: "12/253 leases".
func (p *Pool) Text() string {
	if p.Family == families[1] {
		return fmt.Sprintf("%d/%d IPv6 leases", p.Used, p.Size)
	}
	return fmt.Sprintf("%d/%d leases", p.Used, p.Size)
}

// Remark says what is amiss with a forward of a network that runs; "": nothing.
func (f *Forward) Remark() string {
	if f.Reason == "" && !f.Active {
		return "not in force"
	}
	return f.Reason
}

// described is a forward with what is amiss.
func (f *Forward) described() string {
	if remark := f.Remark(); remark != "" {
		return f.Text + ": " + remark
	}
	return f.Text
}

// Text names a guest and its addresses.
func (g *Guest) Text() string {
	words := []string{g.Label()}
	for _, a := range g.Addresses {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}

// Label is the shortest that names a guest: its name, or else its MAC address.
func (g *Guest) Label() string {
	return cmp.Or(g.Name, g.MAC, "?")
}
