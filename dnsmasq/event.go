package dnsmasq

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Action is what dnsmasq tells its helper.
type Action string

// The actions that the helper serves. dnsmasq has more (tftp, arp-add, ...).
const (
	ActionAdd  Action = "add"  // a new lease
	ActionOld  Action = "old"  // a lease changed, or dnsmasq has started
	ActionDel  Action = "del"  // a lease ended
	ActionInit Action = "init" // dnsmasq starts and asks for its leases
)

// Event is one call of the helper.
type Event struct {
	Action    Action
	Interface string // the bridge, whose name the lease file has
	Entry     Entry  // zero for init, but for ServerDUID
}

// ErrUsage refuses a call of the helper with a wrong number of arguments.
var ErrUsage = errors.New("usage: add|old|del MAC|DUID ADDRESS [HOSTNAME], or init")

// ParseEvent reads a call of the helper: args without the program's name, and
// the environment that dnsmasq sets (dnsmasq(8), --dhcp-script). Names come
// from guests; those that are no words are left out.
func ParseEvent(args []string, getenv func(string) string) (Event, error) {
	if len(args) != 1 && len(args) != 3 && len(args) != 4 {
		return Event{}, ErrUsage
	}
	ev := Event{Action: Action(args[0]), Interface: firstOf(getenv("DNSMASQ_INTERFACE"), getenv("VIR_BRIDGE_NAME"))}
	if ev.Interface == "" {
		return Event{}, errors.New("interface not set")
	}
	if len(ev.Interface) > maxLink || strings.ContainsAny(ev.Interface, "/ \n") || strings.Trim(ev.Interface, ".") == "" {
		return Event{}, fmt.Errorf("invalid interface %q", ev.Interface)
	}
	ev.Entry.ServerDUID = identifier(getenv("DNSMASQ_SERVER_DUID"))
	switch ev.Action {
	case ActionInit:
		return ev, nil
	case ActionAdd, ActionOld, ActionDel:
	default:
		return Event{}, fmt.Errorf("unsupported action %q", args[0])
	}
	if len(args) == 1 {
		return Event{}, ErrUsage
	}
	return ev, ev.Entry.read(args, getenv)
}

func (e *Entry) read(args []string, getenv func(string) string) error {
	e.Address = identifier(args[2])
	if e.Address == "" {
		return fmt.Errorf("invalid address %q", args[2])
	}
	if iaid := identifier(getenv("DNSMASQ_IAID")); iaid != "" {
		e.IAID, e.ClientID, e.MAC = iaid, identifier(args[1]), identifier(getenv("DNSMASQ_MAC"))
	} else {
		e.MAC, e.ClientID = identifier(args[1]), identifier(getenv("DNSMASQ_CLIENT_ID"))
		e.ServerDUID = ""
	}
	given := ""
	if len(args) > 3 {
		given = args[3]
	}
	e.Hostname = identifier(firstOf(given, getenv("DNSMASQ_SUPPLIED_HOSTNAME"), getenv("DNSMASQ_OLD_HOSTNAME")))
	if expires := strings.TrimSpace(getenv("DNSMASQ_LEASE_EXPIRES")); expires != "" {
		n, err := strconv.ParseInt(expires, 10, 64)
		if err != nil {
			return fmt.Errorf("reading DNSMASQ_LEASE_EXPIRES %q: %w", expires, err)
		}
		e.Expiry = n
	}
	return nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// identifier returns a value that is one printable word of a sensible length
// (a DUID has up to 130 bytes, RFC 8415 11.1, three characters each), else "".
// What else a guest may have sent would break the lines of [InitText] apart.
func identifier(value string) string {
	odd := func(r rune) bool { return r == ' ' || r == unicode.ReplacementChar || !unicode.IsPrint(r) }
	if len(value) > 512 || strings.ContainsFunc(value, odd) {
		return ""
	}
	return value
}

// Apply returns the leases after an event; the given ones are not changed. A
// new lease goes to the end and takes the place of one for the same address; one
// that is there as it is stays where it is. An IPv6 lease whose guest's MAC
// address is not known is not recorded.
func Apply(entries []Entry, ev Event) []Entry {
	out := slices.Clone(entries)
	adds := ev.Action == ActionAdd || ev.Action == ActionOld
	if adds && slices.Contains(out, ev.Entry) {
		adds = false
	}
	if adds && ev.Entry.MAC != "" || ev.Action == ActionDel {
		out = slices.DeleteFunc(out, func(e Entry) bool { return e.Address == ev.Entry.Address })
	}
	if duid := ev.Entry.ServerDUID; duid != "" {
		for i := range out {
			if out[i].Is6() && out[i].ServerDUID == "" {
				out[i].ServerDUID = duid
			}
		}
	}
	if adds && ev.Entry.MAC != "" {
		out = append(out, ev.Entry)
	}
	return out
}

// InitText returns what the helper prints for init: the leases in the form of
// dnsmasq's own lease file. serverDUID is the one of the call; one that the
// leases hold counts otherwise. Leases that dnsmasq could not read are left out: it
// ends, or crashes, at the first of them.
func InitText(entries []Entry, serverDUID string) string {
	var v4, v6 strings.Builder
	duid := serverDUID
	for _, e := range entries {
		if !e.readable() {
			continue
		}
		host, client := firstOf(e.Hostname, "*"), firstOf(e.ClientID, "*")
		if !e.Is6() {
			fmt.Fprintf(&v4, "%d %s %s %s %s\n", e.Expiry, e.MAC, e.Address, host, client)
			continue
		}
		duid = firstOf(duid, e.ServerDUID)
		fmt.Fprintf(&v6, "%d %s %s %s %s\n", e.Expiry, firstOf(e.IAID, "0"), e.Address, host, client)
	}
	if duid = identifier(duid); duid != "" && octets(duid, maxDUID) {
		return v4.String() + "duid " + duid + "\n" + v6.String()
	}
	return v4.String() + v6.String()
}

// What dnsmasq has room for, in bytes: a hardware address (RFC 2131, chaddr), a
// client identifier (RFC 2132 section 9.14) and a DUID (RFC 8415 section 11.1).
const (
	maxHardware = 16
	maxClient   = 255
	maxDUID     = 130
)

// readable reports whether a lease is one that dnsmasq's lease_init reads.
func (e *Entry) readable() bool {
	addr, err := netip.ParseAddr(e.Address)
	if err != nil || addr.Zone() != "" || e.Expiry < 0 || identifier(e.Hostname) != e.Hostname {
		return false
	}
	client := e.ClientID == "" || e.ClientID == "*"
	if addr.Is4() {
		_, mac, typed := strings.Cut(e.MAC, "-") // not Ethernet: "06-00:11:22"
		if !typed {
			mac = e.MAC
		}
		return (client || octets(e.ClientID, maxClient)) && octets(mac, maxHardware) &&
			(!typed || octets(strings.TrimSuffix(e.MAC, "-"+mac), 1))
	}
	iaid := strings.TrimPrefix(e.IAID, "T") // a temporary address
	_, err = strconv.ParseUint(firstOf(iaid, "0"), 10, 32)
	return err == nil && (client || octets(e.ClientID, maxClient))
}

// octets reports whether this is a list of at most limit bytes in hexadecimal, with
// colons in between.
func octets(text string, limit int) bool {
	list := strings.Split(text, ":")
	for _, o := range list {
		if len(o) > 2 {
			return false
		}
		if _, err := strconv.ParseUint(o, 16, 8); err != nil {
			return false
		}
	}
	return len(list) <= limit
}
