package topology

// The measures of the drawing, in pixels.
const (
	margin    = 24
	uplinkW   = 190
	uplinkH   = 62
	gutter    = 290 // between uplinks and networks: lines, and what is forwarded
	cardX     = margin + uplinkW + gutter
	cardW     = 290
	lane      = 13 // between two lines that go beside each other
	lanes     = 12 // how many there are
	guestW    = 226
	guestH    = 24
	guestGap  = 8
	rowH      = 19 // of text
	pillH     = 20
	pillGap   = 6
	rowGap    = 26
	headH     = 66 // above everything: the title
	legendH   = 54
	charWidth = 7 // of the widest common letters at 12 pixels

	maxForwards = 12 // that are drawn of one network
)

// box is a network with what is beside it.
type box struct {
	n        *Network
	y, h     int
	cardH    int
	columns  int // of guests
	lines    []string
	forwards []Forward
	more     int // forwards that are not drawn
	left     int // lines that end at the left, and at the right
	right    int
}

// layout places everything, from top to bottom.
type layout struct {
	g       *Graph
	boxes   []box
	uplinks []int   // their tops
	ends    []int   // lines that end at each
	inner   []*link // between networks, those first that are drawn
	guestX  int
	width   int
	height  int
}

func newLayout(g *Graph) *layout {
	l := &layout{g: g, inner: inner(g)}
	l.guestX = cardX + cardW + lane*(max(min(len(l.inner), lanes), 2)+2) + 34
	l.width = l.guestX + guestW + margin
	y := headH
	for i := range g.Networks {
		b := boxOf(&g.Networks[i])
		b.y = y
		y += b.h + rowGap
		l.width = max(l.width, l.guestX+b.columns*(guestW+guestGap)+margin)
		l.boxes = append(l.boxes, b)
	}
	top := headH
	l.ends = make([]int, len(g.Uplinks))
	for range g.Uplinks {
		l.uplinks = append(l.uplinks, top)
		top += uplinkH + rowGap
	}
	l.height = max(y, top) + legendH
	return l
}

// boxOf measures a network. Many guests stand in columns, so that a picture of 200 is
// no taller than a few screens.
func boxOf(n *Network) box {
	b := box{n: n, columns: 1, lines: cardLines(n)}
	switch guests := len(n.Guests); {
	case guests > 24:
		b.columns = 3
	case guests > 6:
		b.columns = 2
	}
	b.cardH = 34 + rowH*len(b.lines) + 10
	for range n.Pools {
		b.cardH += rowH + 8
	}
	for _, f := range append(append([]Forward(nil), n.Publics...), n.Forwards...) {
		if len(b.forwards) == maxForwards {
			b.more++
			continue
		}
		b.forwards = append(b.forwards, f)
	}
	pills := len(b.forwards)
	if b.more > 0 {
		pills++
	}
	rows := (len(n.Guests) + b.columns - 1) / b.columns
	b.h = max(b.cardH, rows*(guestH+guestGap)-guestGap, 40+pills*(pillH+pillGap))
	return b
}

// cardLines is the text of a network's card below its name.
func cardLines(n *Network) []string {
	first := n.Mode
	if n.Bridge != "" {
		first += " · " + n.Bridge
	}
	if n.Keeper == "libvirt" {
		first += " · kept by libvirt"
	}
	lines := []string{first}
	for _, p := range n.Subnets {
		lines = append(lines, p.String())
	}
	return lines
}

// box returns the one of a network.
func (l *layout) box(name string) *box {
	for i := range l.boxes {
		if l.boxes[i].n.Name == name {
			return &l.boxes[i]
		}
	}
	return nil
}

// uplink returns where the next line ends at an uplink's right side.
func (l *layout) uplink(name string) int {
	for i := range l.g.Uplinks {
		if l.g.Uplinks[i].Link == name {
			l.ends[i]++
			return l.uplinks[i] + 4 + (l.ends[i]*12)%(uplinkH-8)
		}
	}
	return headH
}
