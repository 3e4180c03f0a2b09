package host

import (
	"sync"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/firewall"
	"github.com/virbr/virbr/firewall/coexist"
	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

// beside is what this process has accepted in libvirt's chains.
type beside struct {
	mu   sync.Mutex // guards what follows
	list map[string]coexist.Beside
}

// acceptInLibvirtChains brings what passes for a bridge to the head of libvirt's chains.
func (h *Host) acceptInLibvirtChains(op step.AcceptInLibvirtChains) error {
	const doing = "accepting beside libvirt's rules for"
	if err := firewall.CheckDevice(op.Bridge); err != nil {
		return opError(doing, op.Bridge, err)
	}
	b := coexist.Beside{Bridge: op.Bridge, Own: op.Own, Stray: op.Stray}
	h.beside.set(op.Bridge, &b)
	return opError(doing, op.Bridge, h.changeTheirs(func(s *coexist.Survey) []coexist.Change { return s.Beside(b) }))
}

// unacceptInLibvirtChains takes back acceptInLibvirtChains, whoever did it.
func (h *Host) unacceptInLibvirtChains(op step.UnacceptInLibvirtChains) error {
	h.beside.set(op.Bridge, nil)
	err := h.changeTheirs(func(s *coexist.Survey) []coexist.Change { return s.BesideRemoval(op.Bridge) })
	return opError("taking back what was accepted beside libvirt's rules for", op.Bridge, err)
}

// changeTheirs changes the rules of others, which are read only if they are not
// those that were seen last.
func (h *Host) changeTheirs(decide func(*coexist.Survey) []coexist.Change) (err error) {
	n := &h.elsewhere
	n.mu.Lock()
	defer n.mu.Unlock()
	n.view, err = fwnetlink.Coexist(h.fw, n.view, decide)
	return err
}

// set says what a bridge is to have; nil: nothing.
func (b *beside) set(bridge string, what *coexist.Beside) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.list == nil {
		b.list = map[string]coexist.Beside{}
	}
	if what == nil {
		delete(b.list, bridge)
		return
	}
	b.list[bridge] = *what
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
