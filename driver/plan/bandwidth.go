package plan

import (
	"fmt"

	"github.com/virbr/virbr/xml"
)

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

// UnshapePort takes a port's share back; what is missing is no error.
type UnshapePort struct {
	Bridge string
	Class  uint32
}

// SetDefaultRate sets what is left for guests without a floor: the rate of the
// network's default class. Rate is the network's inbound average (or peak, as
// libvirt has it) less the sum of all floors, in kilobytes per second.
type SetDefaultRate struct {
	Bridge  string
	Rate    uint64
	Inbound xml.Rate // the network's
}

func (ShapePort) op()      {}
func (UnshapePort) op()    {}
func (SetDefaultRate) op() {}

func (o ShapePort) String() string {
	return fmt.Sprintf("shape %s class %d for %02x:%02x:%02x:%02x:%02x:%02x floor %d ceil %d", word(o.Bridge), o.Class,
		o.MAC[0], o.MAC[1], o.MAC[2], o.MAC[3], o.MAC[4], o.MAC[5], o.Floor, o.Ceil)
}

func (o UnshapePort) String() string {
	return fmt.Sprintf("unshape %s class %d", word(o.Bridge), o.Class)
}

func (o SetDefaultRate) String() string {
	return fmt.Sprintf("shape %s default class rate %d", word(o.Bridge), o.Rate)
}
