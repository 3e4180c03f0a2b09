package xml

func (n *Network) parseAdvertise(root *node) error { _ = root; return nil }

func (a *Advertise) format(p *printer) { _, _ = a, p }
