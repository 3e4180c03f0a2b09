package config

// Backend is what makes the firewall rules of a network.
type Backend uint8

// The backends of network.conf. virbr has nftables only.
const (
	BackendNftables Backend = iota
	// BackendNone makes no rules: networks that need some cannot start.
	BackendNone
)

// Network is network.conf: the network driver's own settings.
type Network struct {
	Backend  Backend
	Warnings []string // remarks for the log
}

// ReadNetwork reads network.conf. With optional a missing file means defaults.
//
// A file that asks for iptables is honoured with nftables and a warning: the
// rules that virbr makes allow and reject the same, and a host that is taken
// over from libvirt must not lose its networks over the choice of a tool.
func ReadNetwork(path string, optional bool) (*Network, error) {
	k, err := open(path, optional)
	if err != nil {
		return nil, err
	}
	n := &Network{}
	var word string
	line, ok := k.text("firewall_backend", &word)
	switch {
	case !ok || word == "nftables":
	case word == "none":
		n.Backend = BackendNone
	case word == "iptables":
		n.Warnings = append(n.Warnings, `firewall_backend = "iptables": virbr makes its rules with nftables, in table inet virbr`)
	default:
		k.refuse(line, "firewall_backend", `unrecognized firewall_backend = '%s'; known are "nftables" and "none"`, word)
	}
	if err := k.err(); err != nil {
		return nil, err
	}
	return n, nil
}
