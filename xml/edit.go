package xml

import (
	"fmt"
	"slices"
)

// First and Last are the places of AddForward that need no counting.
const (
	First = 0
	Last  = -1
)

// inapt refuses an edit.
func inapt(format string, args ...any) error {
	return (*node)(nil).fail(KindOperation, OriginNetwork, format, args...)
}

// insertAt returns the index at which an item is inserted into a list of length items.
func insertAt(at, length, limit int, what string) (int, error) {
	if at == Last {
		at = length
	}
	switch {
	case at < 0 || at > length:
		return 0, inapt("there is no place %d in a list of %d %s", at+1, length, what)
	case length >= limit:
		return 0, inapt("there are %d %s, which is the limit", limit, what)
	}
	return at, nil
}

// AddForward inserts a forward before the one at an index, counted from 0; Last
// is behind all. It is refused where it could never match, or would take a whole
// range away from one behind it. An error leaves the list as it was.
func (e *Extensions) AddForward(f PortForward, at int) error {
	at, err := insertAt(at, len(e.Forwards), maxForwards, "forwards")
	if err != nil {
		return err
	}
	made, err := ParsePortForward([]byte(f.XML()))
	if err != nil {
		return err
	}
	if by, key, taken := e.inWay(made, at); taken {
		return inapt("forward %s: portForward %d (%s) has port %s already", made, by+1, &e.Forwards[by], ports(key.first, key.last))
	}
	e.Forwards = slices.Insert(e.Forwards, at, *made)
	return nil
}

// inWay returns the forward that keeps one from matching that comes to a place, or
// that would not match any more behind it.
func (e *Extensions) inWay(made *PortForward, at int) (by int, key forwardKey, taken bool) {
	fresh := len(e.Forwards)
	holders := map[forwardKey]int{}
	spans := made.Spans()
	for i := range e.Forwards {
		if i == at {
			if by, key, taken = made.claim(holders, fresh); taken {
				return by, key, true
			}
		}
		if f := &e.Forwards[i]; made.apart(spans, f) {
			continue
		} else if by, key, taken := f.claim(holders, i); taken && by == fresh {
			return i, key, true
		}
	}
	if at == fresh {
		return made.claim(holders, fresh)
	}
	return 0, key, false
}

// apart reports whether two forwards, of which the one has some spans, have nothing
// to do with each other for sure: they claim other keys. What is asked is what costs
// little and tells most forwards apart.
func (f *PortForward) apart(spans []PortSpan, o *PortForward) bool {
	if f.Proto != o.Proto || f.Dev != o.Dev {
		return true
	}
	if len(o.Ranges) != 1 || o.Ranges[0].Exclude {
		return false
	}
	r := &o.Ranges[0]
	return !slices.ContainsFunc(spans, func(s PortSpan) bool { return s.First == r.Start && s.Last == r.last() })
}

// IndexForward returns where a forward that is equal stands; -1 if nowhere.
func (e *Extensions) IndexForward(f *PortForward) int {
	return slices.IndexFunc(e.Forwards, func(o PortForward) bool { return o.Equal(f) })
}

// AddPublic appends a public address. One that is given already is refused.
func (e *Extensions) AddPublic(a PublicAddress) error {
	if i := e.IndexPublic(a.Public); i >= 0 {
		return inapt("public address %s belongs to '%s' already", a.Public, e.Publics[i].Guest)
	}
	if _, err := insertAt(Last, len(e.Publics), maxPublics, "public addresses"); err != nil {
		return err
	}
	made, err := ParsePublicAddress([]byte(a.XML()))
	if err != nil {
		return err
	}
	e.Publics = append(e.Publics, *made)
	return nil
}

// AddUplink inserts an uplink before the one at an index, counted from 0; Last is
// behind all. An error leaves the list as it was.
func (e *Extensions) AddUplink(u Uplink, at int) error {
	at, err := insertAt(at, len(e.Uplinks), maxUplinks, "uplinks")
	if err != nil {
		return err
	}
	made, err := ParseUplink([]byte(u.XML()))
	if err != nil {
		return err
	}
	for i := range e.Uplinks {
		if o := &e.Uplinks[i]; o.Dev == made.Dev && o.overlaps(made) {
			return inapt("uplink %s is in the list already, as uplink %d", o, i+1)
		}
	}
	e.Uplinks = slices.Insert(e.Uplinks, at, *made)
	return nil
}

// CutUplink removes the uplink that is equal to u, see [Extensions.IndexUplink].
func (e *Extensions) CutUplink(u *Uplink) (err error) {
	e.Uplinks, err = cut(e.Uplinks, e.IndexUplink(u), "uplink", u)
	return err
}

// CutForward removes the forward that is equal to f.
func (e *Extensions) CutForward(f *PortForward) (err error) {
	e.Forwards, err = cut(e.Forwards, e.IndexForward(f), "forward", f)
	return err
}

// CutPublic removes the public address that is equal to a.
func (e *Extensions) CutPublic(a *PublicAddress) (err error) {
	e.Publics, err = cut(e.Publics, slices.Index(e.Publics, *a), "public address", a)
	return err
}

// cut removes what stands at an index of a list; -1 if it does not.
func cut[T any](list []T, at int, what string, item fmt.Stringer) ([]T, error) {
	if at < 0 {
		return list, inapt("there is no %s %s", what, item)
	}
	return slices.Delete(list, at, at+1), nil
}
