package client

import (
	"context"
	"fmt"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/xml"
)

// Change is one change of a network's extensions: exactly one of Forward, Public and
// Uplink is set.
type Change struct {
	Forward *xml.PortForward
	At      int // where a forward or an uplink is added; see [xml.Extensions.AddForward]
	Public  *xml.PublicAddress
	Uplink  *xml.Uplink
	Remove  bool // what is equal; otherwise it is added
}

// Outcome says how a change was made.
type Outcome uint8

// The outcomes.
const (
	ByDaemon   Outcome = iota // virbrd made it, and it is in force
	ByMetadata                // it stands in the metadata that a libvirt daemon keeps
	ByFile                    // it stands in a file, for a libvirt daemon that keeps none
)

// apply makes the change in extensions that we write ourselves.
func (ch *Change) apply(e *xml.Extensions) error {
	switch {
	case ch.Forward != nil && ch.Remove:
		return e.CutForward(ch.Forward)
	case ch.Forward != nil:
		return e.AddForward(*ch.Forward, ch.At)
	case ch.Uplink != nil && ch.Remove:
		return e.CutUplink(ch.Uplink)
	case ch.Uplink != nil:
		return e.AddUplink(*ch.Uplink, ch.At)
	case ch.Remove:
		return e.CutPublic(ch.Public)
	}
	return e.AddPublic(*ch.Public)
}

// procedure returns how virbrd is asked for the change.
func (ch *Change) procedure() (number int32, document string) {
	switch {
	case ch.Forward != nil && ch.Remove:
		return proto.ForwardRemove, ch.Forward.XML()
	case ch.Forward != nil:
		return proto.ForwardAdd, ch.Forward.XML()
	case ch.Uplink != nil && ch.Remove:
		return proto.UplinkRemove, ch.Uplink.XML()
	case ch.Uplink != nil:
		return proto.UplinkAdd, ch.Uplink.XML()
	case ch.Remove:
		return proto.AddressRemove, ch.Public.XML()
	}
	return proto.AddressAdd, ch.Public.XML()
}

// Edited returns the persistent definition of a network as the change makes it, and changes
// nothing.
func (c *Conn) Edited(ctx context.Context, n Network, ch Change) (*xml.Network, error) {
	def, err := c.Definition(ctx, n, false)
	if err != nil {
		return nil, err
	}
	e, err := def.Extensions()
	if err != nil {
		return nil, fmt.Errorf("reading the extensions of network %q: %w", n.Name, &BrokenError{err})
	}
	if err := ch.apply(e); err != nil {
		return nil, err
	}
	return def, def.SetExtensions(e)
}

// Edit changes a network's extensions in the definitions that affect names. virbrd
// does it at once and as a whole. With libvirt's own daemons the metadata is read,
// changed and set, or the file of src, which has no running and persistent form.
func (c *Conn) Edit(ctx context.Context, n Network, affect Affect, ch Change, src *Source) (Outcome, error) {
	has, err := c.HasExtensions(ctx)
	if err != nil {
		return ByDaemon, err
	}
	if has {
		_, _, err := c.edit(ctx, n, affect, ch)
		return ByDaemon, err
	}
	kept, err := c.editMetadata(ctx, n, affect, ch, src)
	if err != nil || kept {
		return ByMetadata, err
	}
	if n.Active && affect != AffectLive|AffectConfig {
		return ByFile, fmt.Errorf("the extensions of network %q stand in %q, for its running and its persistent form alike: change both", n.Name, src.Path(n.Name))
	}
	check, err := c.checker(ctx, n, !n.Persistent)
	if err != nil {
		return ByFile, err
	}
	return ByFile, src.edit(n.Name, func(e *xml.Extensions) error {
		if err := ch.apply(e); err != nil {
			return err
		}
		return check(e)
	})
}

// edit has virbrd make the change. Of a forward that was added it returns what it
// comes to and where it stands in the list, from 0; -1: not in the running one.
func (c *Conn) edit(ctx context.Context, n Network, affect Affect, ch Change) (*Forward, int, error) {
	number, document := ch.procedure()
	args := proto.EditArgs{Network: n.ref, XML: document, Index: int32(ch.At), Flags: uint32(affect)}
	if number != proto.ForwardAdd {
		return nil, -1, c.extension(ctx, number, &args, &proto.Void{})
	}
	var added proto.Added
	if err := c.extension(ctx, number, &args, &added); err != nil {
		return nil, -1, err
	}
	f, err := forwardOf(n, added.Forward)
	return f, int(added.Index), err
}

// Add adds a forward by Edit, and returns what it comes to and where it stands in
// the list, from 0; -1: nowhere, because another definition was changed than is
// listed.
func (c *Conn) Add(ctx context.Context, n Network, affect Affect, ch Change, src *Source) (f *Forward, at int, how Outcome, err error) {
	has, err := c.HasExtensions(ctx)
	if err != nil {
		return nil, -1, ByDaemon, err
	}
	if has {
		f, at, err := c.edit(ctx, n, affect, ch)
		return f, at, ByDaemon, err
	}
	if how, err = c.Edit(ctx, n, affect, ch, src); err != nil {
		return nil, -1, how, err
	}
	list, _, err := c.foreign(ctx, n, src)
	if err != nil {
		return nil, -1, how, err
	}
	for i := range list {
		if list[i].Equal(ch.Forward) {
			return &list[i], i, how, nil
		}
	}
	return nil, -1, how, nil
}

// editMetadata changes what libvirt keeps. It is false if it keeps none, or if
// the network's extensions stand in our file.
func (c *Conn) editMetadata(ctx context.Context, n Network, affect Affect, ch Change, src *Source) (bool, error) {
	// All is worked out before anything is set: a refusal changes nothing.
	type edited struct {
		affect Affect
		e      *xml.Extensions
	}
	var todo []edited
	for _, one := range []Affect{AffectConfig, AffectLive} {
		if affect&one == 0 {
			continue
		}
		e, known, err := c.metadata(ctx, n, one)
		if err != nil || !known {
			return known, err
		}
		if e.IsZero() {
			inFile, err := src.read(n.Name)
			if err != nil || !inFile.IsZero() {
				return false, err
			}
		}
		check, err := c.checker(ctx, n, one == AffectLive)
		if err != nil {
			return true, err
		}
		if err := ch.apply(e); err != nil {
			return true, err
		}
		if err := check(e); err != nil {
			return true, err
		}
		todo = append(todo, edited{one, e})
	}
	for _, t := range todo {
		if err := c.setMetadata(ctx, n, t.affect, t.e); err != nil {
			return true, fmt.Errorf("setting the metadata of network %q: %w", n.Name, err)
		}
	}
	return true, nil
}

// checker returns what refuses extensions that make no sense in a definition of
// the network.
func (c *Conn) checker(ctx context.Context, n Network, live bool) (func(*xml.Extensions) error, error) {
	def, err := c.Definition(ctx, n, live)
	if err != nil {
		return nil, err
	}
	return def.SetExtensions, nil
}
