package xml

// UpdateCommand is libvirt's virNetworkUpdateCommand.
type UpdateCommand uint32

// The update commands, with libvirt's numbers.
const (
	UpdateNone UpdateCommand = iota
	UpdateModify
	UpdateDelete
	UpdateAddLast
	UpdateAddFirst
)

// UpdateSection is libvirt's virNetworkUpdateSection.
type UpdateSection uint32

// The update sections, with libvirt's numbers.
const (
	SectionNone UpdateSection = iota
	SectionBridge
	SectionDomain
	SectionIP
	SectionIPDHCPHost
	SectionIPDHCPRange
	SectionForward
	SectionForwardInterface
	SectionForwardPF
	SectionPortGroup
	SectionDNSHost
	SectionDNSTXT
	SectionDNSSRV
)
