package step

import (
	"fmt"

	"github.com/virbr/virbr/xml"
)

var shapeOps = []Op{ShapeNetwork{}, UnshapeNetwork{}, ShapePort{}, UnshapePort{}, SetDefaultRate{}}

// ShapeNetwork limits what a bridge carries (HTB towards guests, a policer from
// them). Rates are kilobytes per second, bursts KiB.
type ShapeNetwork struct {
	Bridge    string
	Bandwidth xml.Bandwidth
}

func (o ShapeNetwork) kind() kind {
	return kind{tag: "shape-network", key: "shape " + word(o.Bridge), scope: ScopeShape}
}

func (o ShapeNetwork) String() string {
	return "shape " + word(o.Bridge) + rateText(" inbound", o.Bandwidth.Inbound) + rateText(" outbound", o.Bandwidth.Outbound)
}

// UnshapeNetwork removes the limits of ShapeNetwork.
type UnshapeNetwork struct{ Bridge string }

func (o UnshapeNetwork) kind() kind {
	return kind{tag: "unshape-network", key: "shape " + word(o.Bridge), scope: ScopeShape, phase: PhaseShape}
}

func (o UnshapeNetwork) String() string { return "unshape " + word(o.Bridge) }

// ShapePort reserves a share of a shaped network for one guest: the floor of
// its port. Rates are kilobytes per second. The network must have been shaped
// (ShapeNetwork) with an inbound average.
type ShapePort struct {
	Bridge  string
	Class   uint32  // of the network's bitmap, 3 or more
	MAC     xml.MAC // the guest's
	Floor   uint64  // what the guest is sure of
	Ceil    uint64  // what it may borrow up to: the network's inbound peak, or average
	Average uint64  // the port's own inbound average, which sets the quantum only; may be 0
}

func (o ShapePort) kind() kind {
	return kind{tag: "shape-port", key: fmt.Sprintf("shape %s class %d", word(o.Bridge), o.Class), scope: ScopeShape}
}

func (o ShapePort) String() string {
	return fmt.Sprintf("shape %s class %d for %02x:%02x:%02x:%02x:%02x:%02x floor %d ceil %d", word(o.Bridge), o.Class,
		o.MAC[0], o.MAC[1], o.MAC[2], o.MAC[3], o.MAC[4], o.MAC[5], o.Floor, o.Ceil)
}

// UnshapePort takes a port's share back; what is missing is no error.
type UnshapePort struct {
	Bridge string
	Class  uint32
}

func (o UnshapePort) kind() kind {
	return kind{tag: "unshape-port", key: fmt.Sprintf("shape %s class %d", word(o.Bridge), o.Class), scope: ScopeShape}
}

func (o UnshapePort) String() string {
	return fmt.Sprintf("unshape %s class %d", word(o.Bridge), o.Class)
}

// SetDefaultRate sets what is left for guests without a floor: the rate of the
// network's default class. Rate is the network's inbound average (or peak, as
// libvirt has it) less the sum of all floors, in kilobytes per second.
type SetDefaultRate struct {
	Bridge  string
	Rate    uint64
	Inbound xml.Rate // the network's
}

func (o SetDefaultRate) kind() kind {
	return kind{tag: "set-default-rate", key: "shape " + word(o.Bridge) + " default class", scope: ScopeShape}
}

func (o SetDefaultRate) String() string {
	return fmt.Sprintf("shape %s default class rate %d", word(o.Bridge), o.Rate)
}

func rateText(direction string, r *xml.Rate) string {
	if r == nil {
		return ""
	}
	text := direction
	for _, part := range []struct {
		name  string
		value uint64
	}{{"average", r.Average}, {"peak", r.Peak}, {"floor", r.Floor}, {"burst", r.Burst}} {
		if part.value != 0 {
			text += fmt.Sprintf(" %s %d", part.name, part.value)
		}
	}
	return text
}
