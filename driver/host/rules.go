package host

import (
	"github.com/virbr/virbr/driver/plan"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// Changes of the firewall wait for each other in the connection: one batch at a
// time.

func (h *Host) addRules(op plan.AddRules) error {
	if op.Rules == nil {
		return nil
	}
	return fwnetlink.Install(h.fw, op.Rules)
}

func (h *Host) replaceRules(op plan.ReplaceRules) error {
	return fwnetlink.Change(h.fw, op.From, op.To)
}

func (h *Host) restoreRules(op plan.RestoreRules) error {
	return fwnetlink.Install(h.fw, op.Rules...)
}

func (h *Host) delRules(op plan.DelRules) error {
	return fwnetlink.Remove(h.fw, op.Bridge)
}
