package xml

// Port is one <networkport> document (formatnetworkport.html).
type Port struct {
	UUID                UUID
	OwnerName           string
	OwnerUUID           UUID
	Group               string
	MAC                 MAC
	VirtualPort         *VirtualPort
	Bandwidth           *Bandwidth
	VLAN                *VLAN
	Isolated            Tristate
	TrustGuestRxFilters Tristate
	Plug                Plug
}

// PlugType says what a port is plugged into.
type PlugType uint8

// The plug types of formatnetworkport.html.
const (
	PlugNone PlugType = iota
	PlugNetwork
	PlugBridge
	PlugDirect
	PlugHostdevPCI
)

// Plug is the <plug> element. Which fields count depends on Type.
type Plug struct {
	Type            PlugType
	Bridge          string      // network, bridge
	MACTableManager string      // network, bridge: "", "kernel" or "libvirt"
	Dev             string      // direct
	Mode            string      // direct: vepa (the default), private, bridge, passthrough
	PCI             *PCIAddress // hostdev-pci
	Managed         Tristate    // hostdev-pci
	DriverName      string      // hostdev-pci
	DriverModel     string      // hostdev-pci
}
