package metrics

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/quota"
)

// Traffic is what passed a bridge since it was made. Received is what its guests
// sent.
type Traffic struct {
	ReceivedBytes, ReceivedPackets, ReceivedDrops uint64
	SentBytes, SentPackets, SentDrops             uint64
}

// Rejected is how many packets the firewall rules of a bridge have rejected: that
// its guests sent, and that were sent to them.
type Rejected struct{ Leaving, Entering uint64 }

// Stopped is how many frames of a guest a guard has dropped, and why.
type Stopped struct {
	Bridge, Link, Guest, Cause string
	Packets                    uint64
}

// Config says where the numbers come from. Everything is required but Log.
type Config struct {
	Version string // of virbrd

	Networks func() []driver.NetworkStats
	Starts   func() driver.StartTimes
	Clients  func() int
	// Traffic returns the counters of the host's links by name.
	Traffic func(context.Context) (map[string]Traffic, error)
	// Rejected returns the counters of the rules of some bridges.
	Rejected func(ctx context.Context, bridges []string) (map[string]Rejected, error)
	// Stopped returns what guards have dropped of guests.
	Stopped func(context.Context) ([]Stopped, error)

	// User says on whose account a client is.
	User func(net.Conn) quota.User

	Log *slog.Logger // nil: discard
}

// Collector writes documents. It keeps nothing between them.
type Collector struct {
	cfg   Config
	began time.Time
}

// New returns a Collector.
func New(cfg Config) *Collector {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Collector{cfg: cfg, began: time.Now()}
}

// Document returns all metrics. Where the host does not tell about its links or
// rules, their counters are left out, which is logged.
func (c *Collector) Document(ctx context.Context) []byte {
	var t text
	c.daemon(&t)
	networks := c.cfg.Networks()
	states(&t, networks)
	guests(&t, networks)
	events(&t, networks)
	starts(&t, c.cfg.Starts())
	if passed, err := c.cfg.Traffic(ctx); err != nil {
		c.cfg.Log.WarnContext(ctx, "reading the counters of links", "err", err)
	} else {
		traffic(&t, networks, passed)
	}
	var bridges []string
	for i := range networks {
		if n := &networks[i]; n.Active && n.Bridge != "" {
			bridges = append(bridges, n.Bridge)
		}
	}
	if refused, err := c.cfg.Rejected(ctx, bridges); err != nil {
		c.cfg.Log.WarnContext(ctx, "reading the counters of firewall rules", "err", err)
	} else {
		rejected(&t, networks, refused)
	}
	if list, err := c.cfg.Stopped(ctx); err != nil {
		c.cfg.Log.WarnContext(ctx, "reading the counters of guards", "err", err)
	} else {
		stopped(&t, networks, list)
	}
	return t.Bytes()
}
