package firewall

import "github.com/virbr/virbr/xml"

// CompileExtension returns the rules that the extensions of a network add to
// those of somebody else, who filters what its guests send and are sent: libvirt.
// nil: none.
func CompileExtension(def *xml.Network, ext *xml.Extensions, where Where) (*Network, error) {
	_, _, _ = def, ext, where
	return nil, nil
}

// NeedsLocalnet reports whether connections of the host to 127.0.0.0/8 are
// forwarded: then the bridge's sysctl route_localnet must be 1. The rules keep
// guests from abusing it.
func (n *Network) NeedsLocalnet() bool { return false }
