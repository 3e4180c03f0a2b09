//go:build libvirt_dlopen

package crash

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// steady is a network that runs all along; its guest must not notice anything.
const steady = `<network><name>steady</name><forward mode='nat'/><bridge name='vb-steady' stp='off'/><mac address='52:54:00:90:00:01'/>
<ip address='10.90.0.1' prefix='24'><dhcp><range start='10.90.0.2' end='10.90.0.99'/></dhcp></ip></network>`

// rich is a network that has a bit of everything.
const rich = `<network><name>rich</name><uuid>c0ffee00-0000-4000-8000-000000000091</uuid>
<metadata><virbr:network xmlns:virbr='urn:virbr:network:1'>
<virbr:portForward proto='tcp' guest='web'><virbr:range start='8080' to='80'/></virbr:portForward>
</virbr:network></metadata>
<forward mode='nat'/><bridge name='vb-rich' stp='off'/><mac address='52:54:00:91:00:01'/>
<ipv6 advprefix='ula'/><domain name='rich.example'/>
<bandwidth><inbound average='1000' peak='2000'/></bandwidth>
<dns><host ip='10.91.0.7'><hostname>printer</hostname></host></dns>
<ip address='10.91.0.1' prefix='24'><dhcp><range start='10.91.0.2' end='10.91.0.99'/>
<host mac='52:54:00:91:00:50' name='web' ip='10.91.0.50'/></dhcp></ip></network>`

// plugged is a network that has no bridge of its own.
const plugged = `<network><name>plugged</name><uuid>c0ffee00-0000-4000-8000-000000000092</uuid>
<forward mode='bridge'><interface dev='uplink'/></forward></network>`

const portUUID = "11111111-0000-4000-8000-000000000001"

// port has a share of the bandwidth, and a guest's name.
const port = `<networkport><uuid>` + portUUID + `</uuid>
<owner><name>vm1</name><uuid>22222222-0000-4000-8000-000000000001</uuid></owner>
<mac address='52:54:00:91:00:60'/><bandwidth><inbound average='500' floor='300'/></bandwidth></networkport>`

const both = libvirt.NETWORK_UPDATE_AFFECT_LIVE | libvirt.NETWORK_UPDATE_AFFECT_CONFIG

// operation is something that a client asks for, and what takes it back.
type operation struct {
	name    string
	before  []step // makes the state before, of a host without networks but steady
	do      step
	undo    step
	guest   bool // the network runs before and after, with a guest that must not notice
	resumes bool // what failed is gone on with: by who asks again, else by the daemon in a while
}

// step is a call of a client.
type step func(*daemon) error

func define(doc string) step { return func(d *daemon) error { return d.define(doc) } }

// of is a step that calls something of a network.
func of(name string, call func(*libvirt.Network) error) step {
	return func(d *daemon) error { return d.with(name, call) }
}

func update(command libvirt.NetworkUpdateCommand, section libvirt.NetworkUpdateSection, doc string) step {
	return of("rich", func(n *libvirt.Network) error { return n.Update(command, section, -1, doc, both) })
}

// create starts a transient network.
func create(doc string) step {
	return func(d *daemon) error {
		n, err := d.conn.NetworkCreateXML(doc)
		if err != nil {
			return err
		}
		return n.Free()
	}
}

func plug(n *libvirt.Network) error {
	p, err := n.PortCreateXML(port, 0)
	if err != nil {
		return err
	}
	return p.Free()
}

// ofPort calls something of the port.
func ofPort(call func(*libvirt.NetworkPort) error) step {
	return of("rich", func(n *libvirt.Network) error {
		p, err := n.LookupNetworkPortByUUIDString(portUUID)
		if err != nil {
			return err
		}
		defer p.Free() //nolint:errcheck // a reference of the client
		return call(p)
	})
}

func unplug(p *libvirt.NetworkPort) error { return p.Delete(0) }

// floor gives the port a share.
func floor(kilobytes uint) step {
	return ofPort(func(p *libvirt.NetworkPort) error {
		params := &libvirt.NetworkPortParameters{BandwidthInAverageSet: true, BandwidthInAverage: 500}
		if kilobytes > 0 {
			params.BandwidthInFloorSet, params.BandwidthInFloor = true, kilobytes
		}
		return p.SetParameters(params, 0)
	})
}

// forward adds a forward of a port to the network, or removes it.
func forward(port uint16, remove bool) step {
	return func(d *daemon) error {
		f := &xml.PortForward{Proto: "tcp", Guest: "web", Ranges: []xml.ForwardRange{{Start: port, To: 80}}}
		if _, err := xml.ParsePortForward([]byte(f.XML())); err != nil {
			return err
		}
		return ofRich(func(c *client.Conn, ctx context.Context, n client.Network) error {
			change := client.Change{Forward: f, At: xml.Last, Remove: remove}
			_, err := c.Edit(ctx, n, client.AffectLive|client.AffectConfig, change, nil)
			return err
		})(d)
	}
}

// edited is rich with other leases, names, rules, MTU, STP, bandwidth and routes.
func edited() string {
	return strings.NewReplacer("10.91.0.99", "10.91.0.98", "printer", "plotter", "8080", "8081", "<domain", "<mtu size='1400'/><domain",
		"stp='off'", "stp='on' delay='3'", "average='1000'", "average='900'", "</network>", "<route address='10.95.0.0' prefix='24' gateway='10.91.0.7'/></network>").Replace(rich)
}

// renamed is rich with something that a bridge cannot change while it is there.
func renamed() string { return strings.Replace(rich, "vb-rich", "vb-rich2", 1) }

// other is a network that there is not.
const other = `<network><name>other</name><uuid>c0ffee00-0000-4000-8000-000000000093</uuid><bridge name='vb-other'/><mac address='52:54:00:93:00:01'/>
<ip address='10.93.0.1' prefix='24'/></network>`

// dialled is a step that calls something of a connection of its own.
func dialled(call func(context.Context, *client.Conn) error) step {
	return func(d *daemon) error {
		c, err := client.Dial(d.t.Context(), client.Config{})
		if err != nil {
			return err
		}
		defer c.Close() //nolint:errcheck // nothing is under way
		return call(d.t.Context(), c)
	}
}

// apply makes networks what definitions say.
func apply(docs ...string) step {
	return dialled(func(ctx context.Context, c *client.Conn) error {
		_, err := c.Apply(ctx, docs, true, 0)
		return err
	})
}

// try is apply until it is confirmed.
func try(docs ...string) step {
	return dialled(func(ctx context.Context, c *client.Conn) error {
		_, err := c.Apply(ctx, docs, false, time.Hour)
		return err
	})
}

// ofRich is a step that calls something of a connection for the network rich.
func ofRich(call func(*client.Conn, context.Context, client.Network) error) step {
	return dialled(func(ctx context.Context, c *client.Conn) error {
		n, err := c.Lookup(ctx, "rich")
		if err != nil {
			return err
		}
		return call(c, ctx, n)
	})
}

func confirm() step  { return ofRich((*client.Conn).Confirm) }
func rollBack() step { return ofRich((*client.Conn).RollBack) }

func autostart(on bool) step {
	return of("rich", func(n *libvirt.Network) error { return n.SetAutostart(on) })
}

func startRich() step  { return of("rich", (*libvirt.Network).Create) }
func stopRich() step   { return of("rich", (*libvirt.Network).Destroy) }
func defineRich() step { return define(rich) }
func undefine() step   { return of("rich", (*libvirt.Network).Undefine) }
func plugIn() step     { return of("rich", plug) }
func plugOut() step    { return ofPort(unplug) }

// What comes before most operations.
var (
	runningRich = []step{defineRich(), startRich()}
	pluggedRich = []step{defineRich(), startRich(), plugIn()}
)

// Edits of net-update: what dnsmasq reads again, and what it must be started anew
// for.
const (
	hostEdit  = `<host mac='52:54:00:91:00:51' name='mail' ip='10.91.0.51'/>`
	dnsEdit   = `<host ip='10.91.0.8'><hostname>scanner</hostname></host>`
	rangeEdit = `<range start='10.91.0.150' end='10.91.0.160'/>`
)

func add(section libvirt.NetworkUpdateSection, doc string) step {
	return update(libvirt.NETWORK_UPDATE_COMMAND_ADD_LAST, section, doc)
}

func del(section libvirt.NetworkUpdateSection, doc string) step {
	return update(libvirt.NETWORK_UPDATE_COMMAND_DELETE, section, doc)
}

// operations are all of them. Each is the other's undoing where there are two.
var operations = []operation{
	{name: "start", before: []step{defineRich()}, do: startRich(), undo: stopRich()},
	{name: "stop", before: runningRich, do: stopRich(), undo: startRich()},
	{name: "create", do: create(rich), undo: stopRich()},
	{name: "destroy", before: []step{create(rich)}, do: stopRich(), undo: create(rich)},
	{name: "define", do: defineRich(), undo: undefine()},
	{name: "undefine", before: []step{defineRich(), startRich(), autostart(true), stopRich()}, do: undefine(), undo: in(defineRich(), startRich(), autostart(true), stopRich())},
	{name: "autostart", before: []step{defineRich()}, do: autostart(true), undo: autostart(false)},
	{name: "update dhcp-host", before: runningRich, do: add(libvirt.NETWORK_SECTION_IP_DHCP_HOST, hostEdit), undo: del(libvirt.NETWORK_SECTION_IP_DHCP_HOST, hostEdit), guest: true},
	{name: "update dns-host", before: runningRich, do: add(libvirt.NETWORK_SECTION_DNS_HOST, dnsEdit), undo: del(libvirt.NETWORK_SECTION_DNS_HOST, dnsEdit), guest: true},
	{name: "update dhcp-range", before: runningRich, do: add(libvirt.NETWORK_SECTION_IP_DHCP_RANGE, rangeEdit), undo: del(libvirt.NETWORK_SECTION_IP_DHCP_RANGE, rangeEdit), guest: true},
	{name: "port create", before: runningRich, do: plugIn(), undo: plugOut(), guest: true},
	{name: "port delete", before: pluggedRich, do: plugOut(), undo: plugIn(), guest: true},
	{name: "port floor", before: pluggedRich, do: floor(400), undo: floor(300), guest: true},
	{name: "port without floor", before: pluggedRich, do: floor(0), undo: floor(300), guest: true},
	{name: "apply", before: runningRich, do: apply(edited()), undo: apply(rich), guest: true},
	{name: "apply by a restart", before: runningRich, do: apply(renamed(), other), undo: in(apply(rich), of("other", (*libvirt.Network).Undefine))},
	{name: "apply to confirm", before: runningRich, do: try(edited(), other), undo: rollBack(), guest: true},
	{name: "confirm", before: append(runningRich, try(edited())), do: confirm(), undo: in(apply(rich), try(edited())), guest: true},
	{name: "roll back", before: append(runningRich, try(renamed(), other)), do: rollBack(), undo: try(renamed(), other), resumes: true},
	{name: "forward", before: runningRich, do: forward(8443, false), undo: forward(8443, true), guest: true},
	{name: "unforward", before: runningRich, do: forward(8080, true), undo: forward(8080, false), guest: true},
}

// in is several steps as one.
func in(steps ...step) step {
	return func(d *daemon) error {
		for _, s := range steps {
			if err := s(d); err != nil {
				return err
			}
		}
		return nil
	}
}

// lab is a host with a daemon, a guest in the steady network, and the states that
// an operation leads from and to.
type lab struct {
	t             *testing.T
	d             *daemon
	op            *operation
	before, after state
	traffic       []*pinging
}

// newLab makes the state before an operation, and looks what the one after is.
func newLab(t *testing.T, op *operation) *lab {
	t.Helper()
	netnstest.NeedProgram(t, "dnsmasq", "ip", "nft", "tc", "ping", "sysctl")
	newOutside(t)
	l := &lab{t: t, op: op, d: start(t)}
	l.d.up("steady", steady)
	l.traffic = append(l.traffic, pings(t, newGuest(t, "steady", "10.90.0"), outside))
	if err := in(op.before...)(l.d); err != nil {
		t.Fatalf("before %s: %v", op.name, err)
	}
	if op.guest {
		l.traffic = append(l.traffic, pings(t, newGuest(t, "rich", "10.91.0"), outside))
	}
	l.must(op.do, "at first")
	l.must(op.undo, "at first")
	l.d.stop()
	l.d = start(t)
	l.before = rest(t)
	l.must(op.do, "a second time")
	l.after = rest(t)
	l.must(op.undo, "a second time")
	if _, err := settles(t, l.before); err != nil {
		t.Fatalf("%s is not taken back: %v", op.name, err)
	}
	return l
}

// newGuest plugs a guest into the network of its name.
func newGuest(t *testing.T, name, subnet string) *netnstest.Guest {
	t.Helper()
	g := netnstest.NewGuest(t, name, "vb-"+name)
	g.Address(t, netip.MustParsePrefix(subnet+".99/24"))
	g.Route(t, netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr(subnet+".1"))
	return g
}

// must is a step that must succeed.
func (l *lab) must(s step, when string) {
	l.t.Helper()
	if err := s(l.d); err != nil {
		l.t.Fatalf("%s %s: %v\nlog of virbrd:\n%s", l.op.name, when, err, l.d.log)
	}
}

// end ends the traffic: nothing was lost.
func (l *lab) end() {
	l.t.Helper()
	for _, p := range l.traffic {
		p.end()
	}
}

// code returns libvirt's code of an error.
func code(err error) libvirt.ErrorNumber {
	if e, ok := errors.AsType[libvirt.Error](err); ok {
		return e.Code
	}
	return libvirt.ERR_OK
}
