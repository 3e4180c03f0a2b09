package topology

import (
	"fmt"
	"html"
	"strings"
)

// pageStyle is that of the page around the drawing.
const pageStyle = `
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,"Noto Sans","DejaVu Sans",sans-serif;margin:0 auto;padding:1.5rem;max-width:110rem;background:#fff;color:#1f2328}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}
.map{overflow-x:auto}table{border-collapse:collapse}th,td{border:1px solid #b7bfc8;padding:.3rem .6rem;text-align:left;vertical-align:top}th{background:#f6f8fa}
code{font:13px ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}.block-text{color:#cf222e}ul{columns:20rem;padding-left:1.2rem}
a:focus,[tabindex]:focus{outline:2px solid #0969da;outline-offset:2px}
@media (prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th{background:#151b23}th,td{border-color:#4a525c}.block-text{color:#f85149}a{color:#4493f8}}
`

// HTML is a page with the drawing, and all that it shows as text: for screen readers,
// and for what has no room in the picture. It is one file, runs no script and loads
// nothing.
func (g *Graph) HTML(title string) string {
	p := &pen{}
	title = html.EscapeString(Printable(title))
	p.put(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>%s</title><style>%s</style></head><body>
<h1>%s</h1><p><a href="#text">The same as text</a></p>
<div class="map" tabindex="0" role="region" aria-label="Map">`, title, pageStyle, title)
	p.WriteString(g.SVG())
	p.put(`</div><h2 id="text">Networks</h2>`)
	g.table(p)
	g.passing(p)
	for i := range g.Networks {
		g.Networks[i].section(p)
	}
	if len(g.Unchecked) > 0 {
		p.put("<h2>Not looked at</h2>")
		items(p, g.Unchecked)
	}
	p.put("</body></html>")
	return p.String()
}

// row writes cells of a table; the first one is its head.
func row(p *pen, cell string, cells ...string) {
	p.WriteString("<tr>")
	for i, text := range cells {
		tag := cell
		if i == 0 {
			tag = `th scope="row"`
			if cell == "th" {
				tag = "th"
			}
		}
		fmt.Fprintf(p, "<%s>%s</%s>", tag, html.EscapeString(text), strings.Fields(tag)[0])
	}
	p.put("</tr>")
}

func items(p *pen, list []string) {
	p.put("<ul>")
	for _, text := range list {
		p.put("<li>%s</li>", html.EscapeString(text))
	}
	p.put("</ul>")
}

func (g *Graph) table(p *pen) {
	p.put("<table>")
	row(p, "th", "network", "mode", "subnets", "bridge", "uplink", "leases", "guests", "health")
	for i := range g.Networks {
		n := &g.Networks[i]
		var subnets, pools []string
		for _, s := range n.Subnets {
			subnets = append(subnets, s.String())
		}
		for _, pool := range n.Pools {
			pools = append(pools, pool.Text())
		}
		row(p, "td", n.Name, n.Mode, strings.Join(subnets, ", "), n.Bridge, strings.Join(n.Uplinks, ", "), strings.Join(pools, ", "),
			fmt.Sprint(len(n.Guests)), string(n.Health))
	}
	p.put("</table>")
}

// passing lists what may pass, and what stops it.
func (g *Graph) passing(p *pen) {
	p.put("<h2>What may pass</h2>")
	if len(g.Edges) == 0 {
		p.put("<p>No new connection passes between networks, or to and from external hosts.</p>")
		return
	}
	p.put("<p>New connections, by the rules of the networks. All else is rejected, but for what is forwarded to guests.</p><table>")
	p.put(`<tr><th>from</th><th>to</th><th>IPv4</th><th>IPv6</th><th>now</th><th>blocked by</th></tr>`)
	for i := range g.Edges {
		e := &g.Edges[i]
		p.put(`<tr><th scope="row">%s</th><td>%s</td><td>%s</td><td>%s</td><td>%d</td><td class="block-text">`,
			html.EscapeString(e.From.String()), html.EscapeString(e.To.String()), e.IPv4, e.IPv6, e.Connections)
		for _, b := range e.Blocks {
			p.put("%s<br>", html.EscapeString(b.Why))
			if b.Mend != "" {
				p.put("<code>%s</code><br>", html.EscapeString(b.Mend))
			}
		}
		p.put("</td></tr>")
	}
	p.put("</table>")
}

// section lists what belongs to a network.
func (n *Network) section(p *pen) {
	if len(n.Guests)+len(n.Forwards)+len(n.Publics)+len(n.Findings) == 0 {
		return
	}
	p.put("<h2>%s</h2>", html.EscapeString(n.Name))
	var forwards, guests []string
	for _, f := range append(append([]Forward(nil), n.Publics...), n.Forwards...) {
		forwards = append(forwards, f.described())
	}
	for i := range n.Guests {
		guests = append(guests, n.Guests[i].Text())
	}
	for _, part := range []struct {
		name string
		list []string
	}{{"Findings", n.Findings}, {"Forwards and public addresses", forwards}, {"Guests", guests}} {
		if len(part.list) > 0 {
			p.put("<h3>%s</h3>", part.name)
			items(p, part.list)
		}
	}
}
