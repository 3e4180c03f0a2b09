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

// Encode appends v.
func (v LeasesArgs) Encode(e *wire.Encoder) {
	v.Network.Encode(e)
	e.OptString(v.MAC)
	e.Int32(v.Need)
	e.Uint32(v.Flags)
}

// Decode reads v.
func (v *LeasesArgs) Decode(d *wire.Decoder) {
	v.Network.Decode(d)
	v.MAC = d.OptString()
	v.Need = d.Int32()
	v.Flags = d.Uint32()
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

// Encode appends v.
func (v Lease) Encode(e *wire.Encoder) {
	e.String(v.Interface)
	e.Int64(v.Expiry)
	e.Int32(v.Type)
	e.OptString(v.MAC)
	e.OptString(v.IAID)
	e.String(v.Address)
	e.Uint32(v.Prefix)
	e.OptString(v.Hostname)
	e.OptString(v.ClientID)
}

// Decode reads v.
func (v *Lease) Decode(d *wire.Decoder) {
	v.Interface = d.String()
	v.Expiry = d.Int64()
	v.Type = d.Int32()
	v.MAC = d.OptString()
	v.IAID = d.OptString()
	v.Address = d.String()
	v.Prefix = d.Uint32()
	v.Hostname = d.OptString()
	v.ClientID = d.OptString()
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

// Encode appends v.
func (v Leases) Encode(e *wire.Encoder) {
	e.Length(len(v.Leases), MaxLeases)
	for i := range v.Leases {
		v.Leases[i].Encode(e)
	}
	e.Uint32(v.Count)
}

// Decode reads v.
func (v *Leases) Decode(d *wire.Decoder) {
	v.Leases = make([]Lease, d.Length(MaxLeases, minLease))
	for i := range v.Leases {
		v.Leases[i].Decode(d)
	}
	v.Count = d.Uint32()
}
