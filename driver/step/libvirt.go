package step

var libvirtOps = []Op{DropLibvirtRules{}, DropLibvirtQueue{}}

// DropLibvirtRules removes the firewall rules of libvirt's own daemon, those of
// all its networks, in one batch for each kind of rules that the kernel has.
// Rules that are not there are no error. Ours must be in before: packets pass
// both sets meanwhile.
type DropLibvirtRules struct{}

func (DropLibvirtRules) kind() kind {
	return kind{tag: "drop-libvirt-rules", key: "libvirt rules", scope: ScopeMoment}
}

func (DropLibvirtRules) String() string { return "firewall remove libvirt's rules" }

// DropLibvirtQueue removes the filter by which libvirt's nftables backend fills
// in the checksums of DHCP replies, and the queue below it unless that limits
// bandwidth too. What is not there is no error.
type DropLibvirtQueue struct{ Bridge string }

func (o DropLibvirtQueue) kind() kind {
	return kind{tag: "drop-libvirt-queue", key: "libvirt queue " + word(o.Bridge), scope: ScopeMoment}
}

func (o DropLibvirtQueue) String() string {
	return "checksums remove libvirt's filter " + word(o.Bridge)
}
