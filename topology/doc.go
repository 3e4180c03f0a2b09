// Package topology makes a graph of a host's networks: what is outside, the
// networks, their guests, and which packets may pass between them; and it draws the
// graph, as text, SVG and HTML.
//
// Whether packets may pass is asked of one function, [Walks.May], which walks the rules
// that package firewall compiles as package firewall/coexist walks the rules of
// others.
//
// The package is pure: what it knows it was told in [Facts]. Names that guests and
// other programs choose are cleaned before they get into a graph; see [Printable].
package topology
