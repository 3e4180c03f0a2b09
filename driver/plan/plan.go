package plan

import (
	"strings"

	"github.com/virbr/virbr/driver/step"
)

// Plan is an ordered list of steps.
type Plan struct{ Steps []step.Step }

// String returns the plan as people read it: one op a line, in order.
func (p *Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		b.WriteString(s.Do.String() + "\n")
	}
	return b.String()
}

// Dirs are the places of files that plans name.
type Dirs struct {
	Run     string // pid files: /run/libvirt/network
	Dnsmasq string // dnsmasq's files: /var/lib/libvirt/dnsmasq
}
