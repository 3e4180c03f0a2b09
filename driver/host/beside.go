package host

import (
	"sync"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// beside is what this process has accepted in libvirt's chains.
type beside struct {
	mu   sync.Mutex // guards what follows
	list map[string]coexist.Beside
}

// acceptBeside brings what passes for a bridge to the head of libvirt's chains.
func (h *Host) acceptBeside(op plan.AcceptBeside) error {
	const doing = "accepting beside libvirt's rules for"
	if err := firewall.CheckDevice(op.Bridge); err != nil {
		return opError(doing, op.Bridge, err)
	}
	b := coexist.Beside{Bridge: op.Bridge, Own: op.Own, Stray: op.Stray}
	n := &h.beside
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.list == nil {
		n.list = map[string]coexist.Beside{}
	}
	n.list[op.Bridge] = b
	_, err := fwnetlink.Coexist(h.fw, nil, func(s *coexist.Survey) []coexist.Change { return s.Beside(b) })
	return opError(doing, op.Bridge, err)
}

// unacceptBeside takes back acceptBeside, whoever did it.
func (h *Host) unacceptBeside(op plan.UnacceptBeside) error {
	n := &h.beside
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.list, op.Bridge)
	_, err := fwnetlink.Coexist(h.fw, nil, func(s *coexist.Survey) []coexist.Change { return s.BesideRemoval(op.Bridge) })
	return opError("taking back what was accepted beside libvirt's rules for", op.Bridge, err)
}

// hidden reports whether something that was accepted in libvirt's chains is missing
// there, or libvirt's own rules are before it.
func (b *beside) hidden(s *coexist.Survey) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.list {
		if len(s.Beside(one)) > 0 {
			return true
		}
	}
	return false
}

func (b *beside) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.list) == 0
}
