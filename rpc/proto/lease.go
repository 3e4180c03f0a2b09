package proto

import "github.com/virbr/virbr/rpc/wire"

// minLease is the smallest encoding of a Lease, in bytes.
const minLease = 40

// LeasesArgs are the arguments of NetworkGetDHCPLeases.
type LeasesArgs struct {
	Network Network
	MAC     *string // nil: all leases
	Need    int32   // zero: only the count is wanted
	Flags   uint32
}

// XDR is the encoding of v.
func (v *LeasesArgs) XDR(c *wire.Codec) {
	v.Network.XDR(c)
	c.OptString(&v.MAC)
	c.Int32(&v.Need)
	c.Uint32(&v.Flags)
}

// Lease is one DHCP lease: remote_network_dhcp_lease.
type Lease struct {
	Interface string
	Expiry    int64 // seconds since the epoch
	Type      int32 // 0 IPv4, 1 IPv6
	MAC       *string
	IAID      *string
	Address   string
	Prefix    uint32
	Hostname  *string
	ClientID  *string
}

// XDR is the encoding of v.
func (v *Lease) XDR(c *wire.Codec) {
	c.String(&v.Interface)
	c.Int64(&v.Expiry)
	c.Int32(&v.Type)
	c.OptString(&v.MAC)
	c.OptString(&v.IAID)
	c.String(&v.Address)
	c.Uint32(&v.Prefix)
	c.OptString(&v.Hostname)
	c.OptString(&v.ClientID)
}

// Leases is the result of NetworkGetDHCPLeases.
type Leases struct {
	Leases []Lease
	Count  uint32
}

// MaxSize returns how many bytes the encoding of v takes at most.
func (v Leases) MaxSize() int {
	const padding = 3
	size := 8
	for i := range v.Leases {
		l := &v.Leases[i]
		size += minLease + len(l.Interface) + len(l.Address) + 2*padding
		for _, s := range []*string{l.MAC, l.IAID, l.Hostname, l.ClientID} {
			if s != nil {
				size += 4 + len(*s) + padding
			}
		}
	}
	return size
}

// XDR is the encoding of v.
func (v *Leases) XDR(c *wire.Codec) {
	wire.List(c, &v.Leases, MaxLeases, minLease, (*Lease).XDR)
	c.Uint32(&v.Count)
}
