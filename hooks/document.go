package hooks

import "strings"

// Document is what a script reads on its standard input: the network and, for
// the port operations, the port, inside <hookData>. Both are canonical XML that
// is already indented by two spaces; an empty port is left out. As libvirt's,
// the document has no final newline.
func Document(network, port string) []byte {
	var b strings.Builder
	b.Grow(len(network) + len(port) + 32)
	b.WriteString("<hookData>\n")
	b.WriteString(network)
	b.WriteString(port)
	b.WriteString("</hookData>")
	return []byte(b.String())
}
