package netlink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// Claim is a packet that a guarded port sent from an address that is not the port's, or
// that says so of one (ARP, neighbour discovery). It was dropped.
type Claim struct {
	Bridge, Port int // indexes of links
	Address      netip.Addr
}

// The language of nfnetlink_log (linux/netfilter/nfnetlink_log.h).
const (
	logPacket = unix.NFNL_SUBSYS_ULOG << 8
	logConfig = unix.NFNL_SUBSYS_ULOG<<8 | 1

	logCommand, logBind         = 1, 1
	logMode, logCopyPacket      = 2, 2
	logTimeout, logThreshold    = 4, 5
	logHeader, logIn, logPhysIn = 1, 4, 6
	logPayload                  = 9
)

// Claims tells of what guarded ports claim until ctx ends, and returns its error. Each
// port is told of a few times a second at most. EBUSY: another process hears it.
func Claims(ctx context.Context, conn *Conn, tell func(Claim)) error {
	socket, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: conn.netns})
	if err != nil {
		return fmt.Errorf("opening netfilter netlink: %w", err)
	}
	defer func() { _ = socket.Close() }()
	_ = socket.SetReadBuffer(bufferSize) // where we may not have so much, the default does
	if err := bindLog(socket); err != nil {
		return fmt.Errorf("listening to what guests claim (nfnetlink_log, group %d): %w", firewall.GuardLog, err)
	}
	defer context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Unix(1, 0)) })()
	for {
		messages, err := socket.Receive()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.ENOBUFS): // a guest claims again what it needs
			continue
		case err != nil:
			return fmt.Errorf("listening to what guests claim: %w", err)
		}
		for _, m := range messages {
			if c, ok := parseClaim(m); ok {
				tell(c)
			}
		}
	}
}

// bindLog has the kernel tell the socket of the group's packets, each at once.
func bindLog(socket *netlink.Conn) error {
	mode := binary.BigEndian.AppendUint32(nil, firewall.GuardSnap)
	for _, attrs := range [][]netlink.Attribute{
		{{Type: logCommand, Data: []byte{logBind}}},
		{
			{Type: logMode, Data: append(mode, logCopyPacket, 0)},
			{Type: logTimeout, Data: binary.BigEndian.AppendUint32(nil, 1)}, // hundredths of a second
			{Type: logThreshold, Data: binary.BigEndian.AppendUint32(nil, 1)},
		},
	} {
		data, err := netlink.MarshalAttributes(attrs)
		if err != nil {
			return err
		}
		header := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}, firewall.GuardLog)
		_, err = socket.Execute(netlink.Message{
			Header: netlink.Header{Type: logConfig, Flags: netlink.Request | netlink.Acknowledge},
			Data:   append(header, data...),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// parseClaim reads a packet that was told of; false: it claims nothing.
func parseClaim(m netlink.Message) (c Claim, ok bool) {
	if m.Header.Type != logPacket {
		return c, false
	}
	var protocol uint16
	err := decode(m, func(ad *netlink.AttributeDecoder) {
		switch ad.Type() {
		case logHeader:
			if b := ad.Bytes(); len(b) >= 2 {
				protocol = binary.BigEndian.Uint16(b)
			}
		case logIn:
			c.Bridge = int(ad.Uint32())
		case logPhysIn:
			c.Port = int(ad.Uint32())
		case logPayload:
			c.Address = claimed(protocol, ad.Bytes())
		}
	})
	return c, err == nil && c.Bridge > 0 && c.Port > 0 && c.Address.IsValid() && !c.Address.IsUnspecified()
}

// claimed returns the address that a packet is sent from, or that it says to be the
// sender's: the sender of ARP (RFC 826), the target of a neighbour advertisement and of
// the solicitation by which a guest asks whether it may take an address (RFC 4861).
func claimed(protocol uint16, b []byte) (a netip.Addr) {
	part := func(from, size int) netip.Addr {
		if len(b) < from+size {
			return netip.Addr{}
		}
		a, _ := netip.AddrFromSlice(b[from : from+size])
		return a
	}
	switch protocol {
	case unix.ETH_P_ARP:
		return part(14, 4)
	case unix.ETH_P_IP:
		return part(12, 4)
	case unix.ETH_P_IPV6:
		const next, source, header, target, solicit, advert = 6, 8, 40, 48, 135, 136
		from := part(source, 16)
		if len(b) > header && b[next] == unix.IPPROTO_ICMPV6 && (b[header] == advert || b[header] == solicit && from.IsUnspecified()) {
			return part(target, 16)
		}
		return from
	}
	return a
}
