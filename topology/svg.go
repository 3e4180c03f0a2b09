package topology

import (
	"fmt"
	"html"
	"strconv"
	"strings"
)

// style is that of the drawing, in light and in dark (prefers-color-scheme). Renderers
// that know no such query take the light one.
const style = `
svg{background:#fff;font:12px system-ui,"Noto Sans","DejaVu Sans",sans-serif}
text{fill:#1f2328}.m{fill:#59636e}.t{font-size:18px;font-weight:600}.n{font-size:15px;font-weight:600}
.c{fill:#f6f8fa;stroke:#b7bfc8}.off .c{stroke-dasharray:4 3}.g{fill:#fff;stroke:#c8d1da}.p{fill:#ddf4ff;stroke:#54aeff}.p.w{fill:#fff;stroke:#8c959f;stroke-dasharray:3 2}
.bar{fill:#d8dee4}.used{fill:#0969da}.tie{stroke:#b7bfc8;stroke-width:3;fill:none}
.may{stroke:#6e7781;stroke-width:1.4;fill:none}.now{stroke:#0969da;stroke-width:4;fill:none}.block{stroke:#cf222e;stroke-width:1.8;stroke-dasharray:6 4;fill:none}
.hm{fill:#6e7781}.hn{fill:#0969da}.hb{fill:#cf222e}.x{stroke:#cf222e;stroke-width:2.6;fill:none}.bt{fill:#cf222e;font-weight:600}.tag{fill:#fff}
.ok{fill:#1a7f37}.warning{fill:#9a6700}.problem{fill:#cf222e}.running,.stopped{fill:#59636e}
g:focus{outline:2px solid #0969da;outline-offset:2px}
@media (prefers-color-scheme:dark){
svg{background:#0d1117}text{fill:#e6edf3}.m{fill:#9198a1}.c{fill:#151b23;stroke:#4a525c}.g{fill:#0d1117;stroke:#3d444d}.p{fill:#12243d;stroke:#1f6feb}.p.w{fill:#0d1117;stroke:#656c76}
.bar{fill:#2f363e}.used{fill:#4493f8}.tie{stroke:#2f363e}.may{stroke:#848d97}.now{stroke:#4493f8}.block,.x{stroke:#f85149}.hm{fill:#848d97}.hn{fill:#4493f8}.hb,.bt{fill:#f85149}.tag{fill:#0d1117}
.ok{fill:#3fb950}.warning{fill:#d29922}.problem{fill:#f85149}.running,.stopped{fill:#9198a1}g:focus{outline-color:#4493f8}}
`

// pen writes SVG. All text is escaped.
type pen struct{ strings.Builder }

func (p *pen) put(format string, args ...any) { fmt.Fprintf(&p.Builder, format+"\n", args...) }

// text writes one line, cut to a width in pixels.
func (p *pen) text(x, y, width int, class, text string) {
	p.put(`<text x="%d" y="%d" class="%s">%s</text>`, x, y, class, html.EscapeString(cut(text, width/charWidth)))
}

// group begins what one can go to by the keyboard, and what a screen reader says of it.
func (p *pen) group(class, label string) {
	label = html.EscapeString(label)
	p.put(`<g tabindex="0" role="img" class="%s" aria-label="%s"><title>%s</title>`, class, label, label)
}

func (p *pen) end() { p.put("</g>") }

// cut shortens text to a number of letters.
func cut(text string, letters int) string {
	runes := []rune(text)
	if len(runes) <= letters {
		return text
	}
	return string(runes[:max(letters-1, 0)]) + "…"
}

// SVG draws the graph: external hosts on the left, networks in the middle, guests on the
// right. It is one document that loads nothing.
func (g *Graph) SVG() string {
	l, p := newLayout(g), &pen{}
	p.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="group" aria-label="Map of the virtual networks of this host">`, l.width, l.height)
	p.put("<style>%s</style>", style)
	p.put(`<defs>`)
	for _, kind := range []string{"m", "n", "b"} {
		p.put(`<marker id="%[1]s" class="h%[1]s" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="11" markerHeight="11" orient="auto-start-reverse"><path d="M0 0L8 4L0 8z"/></marker>`, kind)
	}
	p.put(`</defs>`)
	p.text(margin, 34, 600, "t", "Virtual networks")
	p.text(margin, 54, uplinkW, "m", "external")
	p.text(cardX, 54, cardW, "m", "networks")
	p.text(l.guestX, 54, guestW, "m", "guests")
	l.lines(p)
	for i := range g.Uplinks {
		l.outside(p, i)
	}
	for i := range l.boxes {
		l.network(p, &l.boxes[i])
	}
	l.legend(p)
	p.put("</svg>")
	return p.String()
}

func (l *layout) outside(p *pen, at int) {
	u, y := &l.g.Uplinks[at], l.uplinks[at]
	routes := make([]string, 0, len(u.Gateways))
	for _, a := range u.Gateways {
		routes = append(routes, "default via "+a.String())
	}
	if len(routes) == 0 {
		routes = []string{map[bool]string{true: "default route", false: "no default route"}[u.Default]}
	}
	p.group("", "uplink "+u.Link+", "+strings.Join(routes, ", "))
	p.put(`<rect x="%d" y="%d" width="%d" height="%d" rx="14" class="c"/>`, margin, y, uplinkW, uplinkH)
	p.text(margin+14, y+22, uplinkW-20, "n", u.Link)
	for i, text := range routes[:min(len(routes), 2)] {
		p.text(margin+14, y+39+i*15, uplinkW-20, "m", text)
	}
	p.end()
}

func (l *layout) network(p *pen, b *box) {
	class := ""
	if !b.n.Active {
		class = "off"
	}
	p.group(class, b.n.Text())
	p.put(`<rect x="%d" y="%d" width="%d" height="%d" rx="8" class="c"/>`, cardX, b.y, cardW, b.cardH)
	p.text(cardX+14, b.y+24, cardW-100, "n", b.n.Name)
	p.put(`<text x="%d" y="%d" text-anchor="end" class="%s">%s</text>`, cardX+cardW-14, b.y+24, b.n.Health, b.n.Health)
	y := b.y + 24
	for i, line := range b.lines {
		y += rowH
		p.text(cardX+14, y, cardW-28, map[bool]string{true: "m", false: "d"}[i == 0], line)
	}
	for i := range b.n.Pools {
		y += rowH
		pool := &b.n.Pools[i]
		p.text(cardX+14, y, cardW-28, "d", pool.Text())
		y += 8
		const w = cardW - 28
		p.put(`<rect x="%d" y="%d" width="%d" height="4" rx="2" class="bar"/>`, cardX+14, y-2, w)
		if used := used(pool, w); used > 0 {
			p.put(`<rect x="%d" y="%d" width="%d" height="4" rx="2" class="used"/>`, cardX+14, y-2, used)
		}
	}
	p.end()
	b.pills(p)
	b.guests(p, l.guestX)
}

// used is how much of a bar is full. One lease can be seen.
func used(p *Pool, width int) int {
	if p.Used == 0 || p.Size == 0 {
		return 0
	}
	return min(max(int(float64(width)*float64(p.Used)/float64(p.Size)), 3), width)
}

// pills draws what is forwarded to guests: arrows at the edge of the network.
func (b *box) pills(p *pen) {
	const x, w = cardX - 232, 206
	y := b.y + 40
	for i := range b.forwards {
		f := &b.forwards[i]
		class := "p"
		if !f.Active {
			class = "p w"
		}
		p.group("", "forward "+f.described())
		p.put(`<rect x="%d" y="%d" width="%d" height="%d" rx="10" class="%s"/>`, x, y, w, pillH, class)
		p.text(x+10, y+14, w-14, "d", strings.Replace(f.Text, " to ", " → ", 1))
		p.put(`<path d="M%d %dH%d" class="may" marker-end="url(#m)"/>`, x+w, y+pillH/2, cardX)
		p.end()
		y += pillH + pillGap
	}
	if b.more > 0 {
		p.text(x+10, y+14, w, "m", "and "+strconv.Itoa(b.more)+" more")
	}
}

func (b *box) guests(p *pen, left int) {
	if len(b.n.Guests) == 0 {
		return
	}
	p.put(`<g role="list" aria-label="%s">`, html.EscapeString("guests of "+b.n.Name))
	rows := (len(b.n.Guests) + b.columns - 1) / b.columns
	p.put(`<path d="M%d %dv%d" class="tie"/>`, left-9, b.y, rows*(guestH+guestGap)-guestGap)
	for i := range b.n.Guests {
		g := &b.n.Guests[i]
		x := left + i%b.columns*(guestW+guestGap)
		y := b.y + i/b.columns*(guestH+guestGap)
		label := html.EscapeString(g.Text())
		p.put(`<g role="listitem" aria-label="%s"><title>%s</title>`, label, label)
		p.put(`<rect x="%d" y="%d" width="%d" height="%d" rx="5" class="g"/>`, x, y, guestW, guestH)
		address, room := "", guestW-16
		if len(g.Addresses) > 0 {
			address = cut(g.Addresses[0].String(), 18)
			room -= len(address)*charWidth + 8
		}
		p.text(x+8, y+16, room, "d", g.Label())
		p.put(`<text x="%d" y="%d" text-anchor="end" class="m">%s</text>`, x+guestW-8, y+16, html.EscapeString(address))
		p.end()
	}
	p.end()
}
