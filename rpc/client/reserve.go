package client

import (
	"context"
	"errors"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/xml"
)

// UpdateHost adds, replaces or deletes a static host of a network's DHCP, as virsh
// net-update does with section ip-dhcp-host.
func (c *Conn) UpdateHost(ctx context.Context, n Network, affect Affect, command xml.UpdateCommand, h *xml.DHCPHost) error {
	args := proto.UpdateArgs{
		Network: n.ref, Command: uint32(command), Section: uint32(xml.SectionIPDHCPHost), ParentIndex: -1, XML: h.XML(), Flags: uint32(affect),
	}
	var right proto.Int
	err := c.call(ctx, proto.ConnectSupportsFeature, &proto.Int{Value: proto.FeatureUpdateOrder}, &right)
	if _, refused := errors.AsType[*Error](err); err != nil && !refused {
		return err
	}
	if err != nil || right.Value != 1 { // libvirt before 7.2.0 takes one for the other
		args.Command, args.Section = args.Section, args.Command
	}
	return c.call(ctx, proto.NetworkUpdate, &args, &proto.Void{})
}
