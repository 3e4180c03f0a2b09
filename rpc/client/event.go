package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// EventKind is what happened to a network.
type EventKind int32

// The kinds of an Event. What a newer daemon tells besides has a number of its own.
const (
	Defined        EventKind = proto.EventDefined
	Undefined      EventKind = proto.EventUndefined
	Started        EventKind = proto.EventStarted
	Stopped        EventKind = proto.EventStopped
	Metadata       EventKind = proto.EventMetadata       // Detail changed: "title", "description" or a namespace
	Healed         EventKind = proto.EventHealed         // By removed firewall rules, which are restored
	Accepted       EventKind = proto.EventAccepted       // By changed others' rules, which let guests' traffic pass again
	DnsmasqDied    EventKind = proto.EventDnsmasqDied    // for the Count-th time in a row; it is started after Wait
	DnsmasqStarted EventKind = proto.EventDnsmasqStarted // after it had died
	DnsmasqFailed  EventKind = proto.EventDnsmasqFailed  // to start, because of Detail
	Restored       EventKind = proto.EventRestored       // Detail was taken away; Count things are back, 0: it is not
	UplinkChanged  EventKind = proto.EventUplink         // Detail says by which links guests leave now
	NameClaimed    EventKind = proto.EventNameClaimed    // guest By asks for the name of guest Detail
	GuestMoved     EventKind = proto.EventGuest          // guest Detail, to which Count things lead, came, moved or went
)

// Event is one thing that happened to a network. What a kind does not need is
// zero.
type Event struct {
	Kind    EventKind
	Network string
	Time    time.Time
	By      string // the program that did it; "": not known
	Count   int    // of Healed and Accepted: networks that were mended at once
	Took    time.Duration
	Wait    time.Duration
	Detail  string
	Was     []netip.Addr
	Now     []netip.Addr
}

// ErrForeign says that a daemon is not virbrd and cannot do what only virbrd does.
var ErrForeign = errors.New("it is libvirt's own daemon")

// Events calls began once it listens, and then tell for all that happens to a network,
// or to any where n is nil, until ctx ends, tell returns an error, or the daemon goes: it returns that error.
// The connection can only be closed then. The error wraps [ErrForeign] where the
// daemon is not virbrd.
func (c *Conn) Events(ctx context.Context, n *Network, began func(), tell func(Event) error) error {
	has, err := c.HasExtensions(ctx)
	if err != nil {
		return err
	}
	if !has {
		return fmt.Errorf("events come from virbrd only, and the daemon at %q is not virbrd: %w", c.socket, ErrForeign)
	}
	filter := proto.EventFilter{}
	if n != nil {
		filter.Network = &n.ref
	}
	var id proto.Int
	if err := c.extension(ctx, proto.EventRegister, &filter, &id); err != nil {
		return err
	}
	began()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	err = c.hear(id.Value, tell)
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("the daemon at %q has ended: %w", c.socket, err)
	}
	c.broken = err
	return err
}

// hear reads what the daemon tells. It ends with an error.
func (c *Conn) hear(id int32, tell func(Event) error) error {
	for {
		h, _, err := c.r.Header()
		if err != nil {
			return err
		}
		payload, err := c.r.Payload(wire.MaxPayload, smallReply, func() error { return nil })
		if err != nil {
			return err
		}
		switch {
		case h.Program == proto.KeepaliveProgram && h.Procedure == proto.KeepalivePing:
			if err := c.pong(); err != nil {
				return err
			}
		case h.Program == proto.ExtensionProgram && h.Procedure == proto.EventTold && h.Type == wire.TypeMessage:
			var told proto.Happening
			if _, err := wire.Decode(payload, &told); err != nil {
				return fmt.Errorf("the daemon at %q: an event: %w", c.socket, errProtocol)
			}
			if told.CallbackID != id {
				continue
			}
			if err := tell(eventOf(&told)); err != nil {
				return err
			}
		}
	}
}

func eventOf(h *proto.Happening) Event {
	return Event{
		Kind: EventKind(h.Kind), Network: h.Network.Name, Time: time.Unix(0, h.Time), By: h.By, Count: int(h.Count),
		Took: time.Duration(h.Took), Wait: time.Duration(h.Wait), Detail: h.Detail,
		Was: addresses(h.Was), Now: addresses(h.Now),
	}
}

// RecentEvents returns the last events of all networks since the daemon started, the
// oldest first; none, if the daemon is not virbrd.
func (c *Conn) RecentEvents(ctx context.Context) ([]Event, error) {
	has, err := c.HasExtensions(ctx)
	if err != nil || !has {
		return nil, err
	}
	var list proto.Happenings
	if err := c.extension(ctx, proto.EventList, nil, &list); err != nil {
		return nil, fmt.Errorf("listing events: %w", err)
	}
	found := make([]Event, 0, len(list.Events))
	for i := range list.Events {
		found = append(found, eventOf(&list.Events[i]))
	}
	return found, nil
}
