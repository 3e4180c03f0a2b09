package xml

// Metadata is the <metadata> element: one child element a namespace.
type Metadata struct{ root *node }

func (n *Network) parseMetadata(root *node) error { _ = root; return nil }

func (m *Metadata) format(p *printer) { _, _ = m, p }

func (m *Metadata) clone() *Metadata {
	if m == nil {
		return nil
	}
	return &Metadata{root: m.root.clone()}
}
