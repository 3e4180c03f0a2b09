package rpc_test

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/history"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/xml"
)

// fake is a driver that keeps networks in memory only: what the server is
// tested on is the protocol.
type fake struct {
	mu    sync.Mutex
	nets  map[xml.UUID]*fakeNet
	ports map[xml.UUID]*fakePort
	calls []string // what was called, in order

	err    error                // what changing calls and lookups of "broken" fail with
	before func(op string)      // runs in front of each call, without the lock
	tell   func(e driver.Event) // receives events
	leases []driver.Lease

	forwards   []driver.ForwardState
	publics    []driver.PublicState
	extensions xml.Extensions
}

type fakeNet struct {
	ref                           driver.Ref
	doc                           string
	active, persistent, autostart bool
}

type fakePort struct {
	ref       driver.PortRef
	doc       string
	bandwidth *xml.Bandwidth
}

func newFake(nets ...*fakeNet) *fake {
	f := &fake{nets: map[xml.UUID]*fakeNet{}, ports: map[xml.UUID]*fakePort{}}
	for _, n := range nets {
		f.nets[n.ref.UUID] = n
	}
	return f
}

// testNet makes a network whose UUID ends in a number.
func testNet(name string, number byte, active bool) *fakeNet {
	ref := driver.Ref{Name: name}
	ref.UUID[0], ref.UUID[15] = 0xaa, number
	doc := fmt.Sprintf("<network>\n  <name>%s</name>\n  <uuid>%s</uuid>\n</network>\n", name, ref.UUID)
	return &fakeNet{ref: ref, doc: doc, active: active, persistent: true}
}

func (f *fake) enter(op string) func() {
	if f.before != nil {
		f.before(op)
	}
	f.mu.Lock()
	f.calls = append(f.calls, op)
	return f.mu.Unlock
}

func (f *fake) find(r driver.Ref) (*fakeNet, error) {
	if n, ok := f.nets[r.UUID]; ok {
		if n.ref.Name == "broken" && f.err != nil {
			return nil, f.err
		}
		return n, nil
	}
	return nil, &driver.Error{Kind: driver.KindNoNetwork, Msg: fmt.Sprintf("no network with matching uuid '%s' (%s)", r.UUID, r.Name)}
}

func (f *fake) List(_ context.Context, filter driver.ListFilter) ([]driver.Ref, error) {
	defer f.enter("List")()
	refs := []driver.Ref{}
	either := func(yes, no driver.ListFilter, is bool) bool {
		wanted := filter & (yes | no)
		return wanted != yes && wanted != no || wanted == yes && is || wanted == no && !is
	}
	for _, n := range f.nets {
		if either(driver.ListActive, driver.ListInactive, n.active) &&
			either(driver.ListPersistent, driver.ListTransient, n.persistent) &&
			either(driver.ListAutostart, driver.ListNoAutostart, n.autostart) {
			refs = append(refs, n.ref)
		}
	}
	slices.SortFunc(refs, func(a, b driver.Ref) int { return cmp.Compare(a.Name, b.Name) })
	return refs, nil
}

func (f *fake) LookupByName(_ context.Context, name string) (driver.Ref, error) {
	defer f.enter("LookupByName")()
	for _, n := range f.nets {
		if n.ref.Name == name {
			return n.ref, nil
		}
	}
	return driver.Ref{}, &driver.Error{Kind: driver.KindNoNetwork, Msg: fmt.Sprintf("no network with matching name '%s'", name)}
}

func (f *fake) LookupByUUID(_ context.Context, uuid xml.UUID) (driver.Ref, error) {
	defer f.enter("LookupByUUID")()
	if n, ok := f.nets[uuid]; ok {
		return n.ref, nil
	}
	return driver.Ref{}, &driver.Error{Kind: driver.KindNoNetwork, Msg: fmt.Sprintf("no network with matching uuid '%s'", uuid)}
}

var nameElement = regexp.MustCompile(`<name>([^<]*)</name>`)

func (f *fake) add(doc string, active bool) (driver.Ref, error) {
	if f.err != nil {
		return driver.Ref{}, f.err
	}
	m := nameElement.FindStringSubmatch(doc)
	if m == nil {
		return driver.Ref{}, &xml.Error{Kind: xml.KindNoName}
	}
	for _, n := range f.nets {
		if n.ref.Name == m[1] {
			n.doc, n.persistent = doc, !active
			return n.ref, nil
		}
	}
	n := testNet(m[1], byte(100+len(f.nets)), active)
	n.persistent, n.doc = !active, doc
	f.nets[n.ref.UUID] = n
	return n.ref, nil
}

func (f *fake) event(kind driver.EventKind, r driver.Ref) {
	if f.tell != nil {
		f.tell(driver.Event{Kind: kind, Network: r})
	}
}

func (f *fake) DefineXML(_ context.Context, doc string, validate bool) (driver.Ref, error) {
	defer f.enter(fmt.Sprintf("DefineXML validate=%t", validate))()
	r, err := f.add(doc, false)
	if err == nil {
		f.event(driver.EventDefined, r)
	}
	return r, err
}

func (f *fake) CreateXML(_ context.Context, doc string, validate bool) (driver.Ref, error) {
	defer f.enter(fmt.Sprintf("CreateXML validate=%t", validate))()
	return f.add(doc, true)
}

func (f *fake) Start(_ context.Context, net driver.Ref) error {
	defer f.enter("Start")()
	n, err := f.find(net)
	if err != nil {
		return err
	}
	if n.active {
		return &driver.Error{Kind: driver.KindOperationInvalid, Msg: "network is already active"}
	}
	n.active = true
	f.event(driver.EventStarted, n.ref)
	return nil
}

func (f *fake) Destroy(_ context.Context, net driver.Ref) error {
	defer f.enter("Destroy")()
	n, err := f.find(net)
	if err != nil {
		return err
	}
	n.active = false
	f.event(driver.EventStopped, n.ref)
	return nil
}

func (f *fake) Undefine(_ context.Context, net driver.Ref) error {
	defer f.enter("Undefine")()
	n, err := f.find(net)
	if err != nil {
		return err
	}
	delete(f.nets, n.ref.UUID)
	f.event(driver.EventUndefined, n.ref)
	return nil
}

func (f *fake) XML(_ context.Context, net driver.Ref, inactive bool) (string, error) {
	defer f.enter(fmt.Sprintf("XML inactive=%t", inactive))()
	n, err := f.find(net)
	if err != nil {
		return "", err
	}
	return n.doc, nil
}

func (f *fake) BridgeName(_ context.Context, net driver.Ref) (string, error) {
	defer f.enter("BridgeName")()
	n, err := f.find(net)
	if err != nil {
		return "", err
	}
	return "br-" + n.ref.Name, nil
}

func (f *fake) Autostart(_ context.Context, net driver.Ref) (bool, error) {
	defer f.enter("Autostart")()
	n, err := f.find(net)
	if err != nil {
		return false, err
	}
	return n.autostart, nil
}

func (f *fake) SetAutostart(_ context.Context, net driver.Ref, on bool) error {
	defer f.enter("SetAutostart")()
	n, err := f.find(net)
	if err != nil {
		return err
	}
	n.autostart = on
	return nil
}

func (f *fake) IsActive(_ context.Context, net driver.Ref) (bool, error) {
	defer f.enter("IsActive")()
	n, err := f.find(net)
	if err != nil {
		return false, err
	}
	return n.active, nil
}

func (f *fake) IsPersistent(_ context.Context, net driver.Ref) (bool, error) {
	defer f.enter("IsPersistent")()
	n, err := f.find(net)
	if err != nil {
		return false, err
	}
	return n.persistent, nil
}

func (f *fake) Update(_ context.Context, net driver.Ref, req driver.UpdateRequest) error {
	defer f.enter(fmt.Sprintf("Update %d %d %d %s %d", req.Command, req.Section, req.ParentIndex, req.Document, req.Affect))()
	_, err := f.find(net)
	return err
}

func (f *fake) SetMetadata(_ context.Context, net driver.Ref, req driver.MetadataRequest, key string, value *string) error {
	defer f.enter(fmt.Sprintf("SetMetadata %+v key=%q value=%v", req, key, value != nil))()
	n, err := f.find(net)
	if err != nil {
		return err
	}
	if f.tell != nil {
		f.tell(driver.Event{Kind: driver.EventMetadata, Network: n.ref, MetadataType: req.Type, URI: req.URI})
	}
	return nil
}

func (f *fake) Metadata(_ context.Context, net driver.Ref, req driver.MetadataRequest) (string, error) {
	defer f.enter(fmt.Sprintf("Metadata %+v", req))()
	if _, err := f.find(net); err != nil {
		return "", err
	}
	return "", &driver.Error{Kind: driver.KindNoMetadata, Msg: "Requested metadata element is not present"}
}

func (f *fake) Leases(_ context.Context, net driver.Ref, mac string) ([]driver.Lease, error) {
	defer f.enter("Leases " + mac)()
	if _, err := f.find(net); err != nil {
		return nil, err
	}
	return f.leases, nil
}

func (f *fake) Forwards(_ context.Context, net driver.Ref) ([]driver.ForwardState, error) {
	defer f.enter("Forwards")()
	if _, err := f.find(net); err != nil {
		return nil, err
	}
	return f.forwards, nil
}

func (f *fake) Publics(_ context.Context, net driver.Ref) ([]driver.PublicState, error) {
	_, err := f.find(net)
	return f.publics, err
}

func (f *fake) History(_ context.Context, name string) (driver.Ref, []history.Revision, error) {
	defer f.enter("History")()
	for _, n := range f.nets {
		if n.ref.Name == name {
			uid := uint32(1000)
			return n.ref, []history.Revision{{Number: 7, Network: name, UID: &uid, PID: 12, Program: "virsh", Call: "virNetworkDefineXML", Time: time.Unix(5, 0)}, {Number: 8, Running: true}}, nil
		}
	}
	return driver.Ref{}, nil, &driver.Error{Kind: driver.KindNoNetwork, Msg: name}
}

func (f *fake) RevisionXML(_ context.Context, name string, number int) (driver.Ref, string, error) {
	defer f.enter(fmt.Sprintf("RevisionXML %d", number))()
	for _, n := range f.nets {
		if n.ref.Name == name {
			return n.ref, n.doc, nil
		}
	}
	return driver.Ref{}, "", &driver.Error{Kind: driver.KindNoNetwork, Msg: name}
}

func (f *fake) Plan(_ context.Context, docs []string) ([]driver.Proposal, error) {
	defer f.enter(fmt.Sprintf("Plan %d", len(docs)))()
	change := plan.Change{Text: "+ something", Effect: plan.EffectFlap}
	return []driver.Proposal{{Network: driver.Ref{Name: "net"}, Running: true, Defines: true, Comparison: plan.Comparison{Way: plan.WayRestart, Changes: []plan.Change{change}}, Drift: []string{"an address"}}}, f.err
}

func (f *fake) Pending(context.Context) []driver.Pending { return nil }

func (f *fake) Confirm(_ context.Context, net driver.Ref) error {
	defer f.enter("Confirm " + net.Name)()
	return f.err
}

func (f *fake) RollBack(_ context.Context, net driver.Ref) error {
	defer f.enter("RollBack " + net.Name)()
	return f.err
}

func (f *fake) Apply(ctx context.Context, req driver.ApplyRequest) ([]driver.Proposal, error) {
	defer f.enter(fmt.Sprintf("Apply %d %v %v", len(req.Documents), req.Cut, req.Confirm))()
	return nil, f.err
}

func (f *fake) Uplinks(_ context.Context, net driver.Ref) ([]driver.UplinkState, error) {
	_, err := f.find(net)
	return nil, err
}

func (f *fake) EditExtensions(_ context.Context, net driver.Ref, affect driver.Affect, edit func(*xml.Extensions) error) error {
	defer f.enter(fmt.Sprintf("EditExtensions %d", affect))()
	if _, err := f.find(net); err != nil {
		return err
	}
	e := f.extensions.Clone()
	if err := edit(e); err != nil {
		return err
	}
	f.extensions = *e
	return nil
}

func (f *fake) Ports(_ context.Context, net driver.Ref) ([]driver.PortRef, error) {
	defer f.enter("Ports")()
	if _, err := f.find(net); err != nil {
		return nil, err
	}
	var refs []driver.PortRef
	for _, p := range f.ports {
		refs = append(refs, p.ref)
	}
	return refs, nil
}

func (f *fake) port(r driver.PortRef) (*fakePort, error) {
	if _, err := f.find(r.Network); err != nil {
		return nil, err
	}
	if p, ok := f.ports[r.UUID]; ok {
		return p, nil
	}
	return nil, &driver.Error{Kind: driver.KindNoPort, Msg: fmt.Sprintf("Network port with UUID %s does not exist", r.UUID)}
}

func (f *fake) LookupPort(_ context.Context, net driver.Ref, uuid xml.UUID) (driver.PortRef, error) {
	defer f.enter("LookupPort")()
	p, err := f.port(driver.PortRef{Network: net, UUID: uuid})
	if err != nil {
		return driver.PortRef{}, err
	}
	return p.ref, nil
}

func (f *fake) CreatePort(_ context.Context, net driver.Ref, doc string, reclaim, validate bool) (driver.PortRef, error) {
	defer f.enter(fmt.Sprintf("CreatePort reclaim=%t validate=%t", reclaim, validate))()
	n, err := f.find(net)
	if err != nil {
		return driver.PortRef{}, err
	}
	p := &fakePort{ref: driver.PortRef{Network: n.ref}, doc: doc}
	p.ref.UUID[0], p.ref.UUID[15] = 0xbb, byte(1+len(f.ports))
	f.ports[p.ref.UUID] = p
	return p.ref, nil
}

func (f *fake) PortXML(_ context.Context, port driver.PortRef) (string, error) {
	defer f.enter("PortXML")()
	p, err := f.port(port)
	if err != nil {
		return "", err
	}
	return p.doc, nil
}

func (f *fake) PortBandwidth(_ context.Context, port driver.PortRef) (*xml.Bandwidth, error) {
	defer f.enter("PortBandwidth")()
	p, err := f.port(port)
	if err != nil {
		return nil, err
	}
	return p.bandwidth, nil
}

func (f *fake) SetPortBandwidth(_ context.Context, port driver.PortRef, bandwidth *xml.Bandwidth) error {
	defer f.enter("SetPortBandwidth")()
	p, err := f.port(port)
	if err != nil {
		return err
	}
	p.bandwidth = bandwidth
	return nil
}

func (f *fake) DeletePort(_ context.Context, port driver.PortRef) error {
	defer f.enter("DeletePort")()
	if _, err := f.port(port); err != nil {
		return err
	}
	delete(f.ports, port.UUID)
	return nil
}
