package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"syscall"

	"github.com/virbr/virbr/driver/step"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// Missing returns those of some ops that were done and whose result somebody took
// away: a bridge, its address, a route by it, its being up, a sysctl, rules. Other ops are
// never missing. It asks about the links of the ops only, however many others there
// are.
func (h *Host) Missing(ctx context.Context, ops []step.Op) ([]step.Op, error) {
	var list []step.Op
	addresses := map[string]map[netip.Addr]bool{}
	for _, op := range ops {
		there, err := true, error(nil)
		switch op := op.(type) {
		case step.AddBridge:
			_, err = h.index(op.Name)
		case step.SetUp:
			there, err = h.isUp(op.Link)
		case step.AddAddress:
			if addresses[op.Link] == nil {
				addresses[op.Link], err = h.addressesOf(ctx, op.Link)
			}
			there = addresses[op.Link][op.Address.Addr()]
		case step.AddRoute:
			var index int
			if index, err = h.index(op.Link); err == nil {
				op.Dest = op.Dest.Masked()
				there = h.hasRoute(ctx, op, index)
			}
		case step.SetSysctl:
			there, err = sysctlIs(op)
		case step.AddRules:
			var parts []string
			parts, _, err = fwnetlink.Missing(h.fw, h.able(ctx, op.Rules), true)
			there = len(parts) == 0
		}
		if errors.Is(err, syscall.ENODEV) || errors.Is(err, fs.ErrNotExist) {
			there, err = false, nil
		}
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", op, err)
		}
		if !there {
			list = append(list, op)
		}
	}
	return list, nil
}

func sysctlIs(op step.SetSysctl) (bool, error) {
	want, err := strconv.Atoi(op.Value)
	if err != nil {
		return false, err
	}
	have, err := readSysctl(op.Key)
	if op.IfExists && errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return have == want, err
}

// addressesOf returns the addresses of one link.
func (h *Host) addressesOf(ctx context.Context, link string) (map[netip.Addr]bool, error) {
	index, err := h.index(link)
	if err != nil {
		return nil, err
	}
	var list map[netip.Addr]bool
	err = h.eachAddress(ctx, index, func() { list = map[netip.Addr]bool{} }, func(_ []byte, a onLink, _ uint8) { list[a.address] = true })
	return list, err
}
