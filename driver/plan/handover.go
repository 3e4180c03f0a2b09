package plan

// DropLibvirtRules removes the firewall rules of libvirt's own daemon, those of
// all its networks, in one batch for each kind of rules that the kernel has.
// Rules that are not there are no error. Ours must be in before: packets pass
// both sets meanwhile.
type DropLibvirtRules struct{}

// DropLibvirtQueue removes the filter by which libvirt's nftables backend fills
// in the checksums of DHCP replies, and the queue below it unless that limits
// bandwidth too. What is not there is no error.
type DropLibvirtQueue struct{ Bridge string }

// DropRules removes all firewall rules of ours, of whatever networks, in one
// batch. Missing ones are no error.
type DropRules struct{}

func (DropLibvirtRules) op() {}
func (DropLibvirtQueue) op() {}
func (DropRules) op()        {}

func (DropLibvirtRules) String() string { return "firewall remove libvirt's rules" }

func (o DropLibvirtQueue) String() string {
	return "checksums remove libvirt's filter " + word(o.Bridge)
}

func (DropRules) String() string { return "firewall remove all of table inet virbr" }
