package topology

import (
	"fmt"
	"slices"
)

// lines draws what may pass: lines to the outside on the left of networks, and between
// networks on their right. Where there are more than have room, those that carry
// nothing are left to the text.
func (l *layout) lines(p *pen) {
	if left := len(l.inner) - lanes; left > 0 {
		p.text(cardX+cardW+8, 54, lane*(lanes+2), "m", fmt.Sprintf("and %d more pairs", left))
	}
	for i, k := range l.inner[:min(len(l.inner), lanes)] {
		a, b := l.box(k.a.Network), l.box(k.b.Network)
		x := cardX + cardW + lane*(i+2)
		ya, yb := a.port(&a.right), b.port(&b.right)
		l.line(p, k, fmt.Sprintf("M%d %dH%dV%dH%d", cardX+cardW+2, ya, x, yb, cardX+cardW+2), x, (ya+yb)/2)
	}
	for _, k := range links(l.g) {
		n, up := k.a.Network, k.b.Uplink
		if n == "" {
			n, up = k.b.Network, k.a.Uplink
		}
		if up == "" {
			continue
		}
		b := l.box(n)
		y, from := b.y+18+b.left*9, l.uplink(up)
		b.left++
		x := margin + uplinkW + 2
		mid := x + 34
		path := fmt.Sprintf("M%d %dC%d %d %d %d %d %d", cardX-2, y, cardX-150, y, mid, from, x, from)
		if k.a.Uplink != "" {
			path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x, from, mid, from, cardX-150, y, cardX-2, y)
		}
		l.line(p, k, path, cardX-60, y-1)
	}
}

// inner are the lines between networks, those first that say the most.
func inner(g *Graph) []*link {
	list := slices.DeleteFunc(links(g), func(k *link) bool { return k.a.Network == "" || k.b.Network == "" })
	slices.SortStableFunc(list, func(a, b *link) int { return rank(b) - rank(a) })
	return list
}

// rank is how much a line wants to be drawn.
func rank(k *link) int {
	switch k.class() {
	case "block":
		return 2
	case "now":
		return 1
	}
	return 0
}

// port is where the next line ends at a side of a network.
func (b *box) port(used *int) int {
	y := b.y + 16 + *used*10%max(b.cardH-24, 1)
	*used++
	return y
}

// line draws one, with arrows where packets arrive, and where it is blocked a cross and
// who does that.
func (l *layout) line(p *pen, k *link, path string, x, y int) {
	kind := k.class()[:1]
	arrows := ""
	if k.ab != nil {
		arrows += fmt.Sprintf(` marker-end="url(#%s)"`, kind)
	}
	if k.ba != nil {
		arrows += fmt.Sprintf(` marker-start="url(#%s)"`, kind)
	}
	p.group("", k.text())
	p.put(`<path d="%s" class="%s"%s/>`, path, k.class(), arrows)
	if k.blocked != nil {
		p.put(`<path d="M%d %dl12 12m0 -12l-12 12" class="x"/>`, x-6, y-6)
		owner := cut(k.blocked.Owner, 16)
		p.put(`<rect x="%d" y="%d" width="%d" height="15" class="tag"/>`, x+9, y-8, len([]rune(owner))*charWidth+6)
		p.text(x+12, y+4, 200, "bt", owner)
	}
	p.end()
}

// legend says what the lines mean.
func (l *layout) legend(p *pen) {
	y, x := l.height-22, margin
	for _, kind := range []struct{ class, text string }{
		{"may", "packets may pass"}, {"now", "connections now"}, {"block", "blocked by another's rule"},
	} {
		p.put(`<path d="M%d %dh36" class="%s" marker-end="url(#%s)"/>`, x, y-4, kind.class, kind.class[:1])
		p.text(x+46, y, 200, "m", kind.text)
		x += 200
	}
	note := ""
	switch {
	case !l.g.Examined:
		note = "blocks are not known: the host was not looked at"
	case !l.g.Tracked:
		note = "connections are not known"
	}
	p.text(x, y, 400, "m", note)
}
