package netlink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/firewall"
)

// Event is one change that somebody else made to the ruleset.
type Event struct {
	By    string // "nft (pid 4711)"; "": not known
	Own   bool   // it concerned what is ours alone
	Other bool   // it concerned tables, chains or rules of others
	Lost  bool   // something was missed: it may have concerned anything
}

// Monitor tells of every change of the ruleset that this process did not make,
// until ctx ends, and returns its error. It calls ready when nothing is missed
// any more. conn is the connection by which this process makes its changes.
func Monitor(ctx context.Context, conn *Conn, ready func(), tell func(Event)) error {
	socket, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: conn.netns})
	if err != nil {
		return fmt.Errorf("opening netfilter netlink: %w", err)
	}
	defer func() { _ = socket.Close() }()
	if err := errors.Join(socket.SetReadBuffer(bufferSize), socket.JoinGroup(unix.NFNLGRP_NFTABLES)); err != nil {
		return fmt.Errorf("listening to changes of nftables: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = socket.SetReadDeadline(time.Unix(1, 0)) })()
	ready()
	for w := (watcher{conn: conn}); ; {
		messages, err := socket.Receive()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.ENOBUFS):
			w.pending = Event{}
			tell(Event{Lost: true})
			continue
		case err != nil:
			return fmt.Errorf("listening to changes of nftables: %w", err)
		}
		for _, m := range messages {
			if e, ok := w.hear(m); ok {
				tell(e)
			}
		}
	}
}

// watcher gathers the messages of one change. The kernel tells what changed
// first, and last of all the new generation with who made it.
type watcher struct {
	conn    *Conn
	pending Event
}

// hear returns the event that a message ends, if it does and it was not us.
func (w *watcher) hear(m netlink.Message) (Event, bool) {
	if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.Data) < 4 {
		return Event{}, false
	}
	switch kind := m.Header.Type & 0xff; kind {
	case unix.NFT_MSG_NEWGEN:
		e := w.pending
		w.pending = Event{}
		program, pid := author(m)
		if w.ours(m.Header.PID, pid, program) {
			return Event{}, false
		}
		if e.By = program; pid != 0 {
			e.By = fmt.Sprintf("%s (pid %d)", program, pid)
		}
		return e, e.Own || e.Other
	case unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_DELTABLE, unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_NEWRULE, unix.NFT_MSG_DELRULE,
		unix.NFT_MSG_NEWSET, unix.NFT_MSG_DELSET, unix.NFT_MSG_NEWSETELEM, unix.NFT_MSG_DELSETELEM:
		own := ourOwn(m)
		w.pending.Own = w.pending.Own || own
		w.pending.Other = w.pending.Other || !own && kind < unix.NFT_MSG_NEWSET
	default: // nothing that concerns rules
	}
	return Event{}, false
}

// ours reports whether this process made a change: over its connection, or by a
// thread of it over another one.
func (w *watcher) ours(port, thread uint32, program string) bool {
	if w.conn.port() == port && port != 0 {
		return true
	}
	// The kernel numbers threads as the host does; in a container the same number
	// may be that of another one.
	name, err := os.ReadFile("/proc/self/task/" + strconv.FormatUint(uint64(thread), 10) + "/comm")
	return err == nil && printable(strings.TrimSuffix(string(name), "\n")) == program
}

// port returns the address of the connection's socket; 0: it is closed.
func (c *Conn) port() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket == nil {
		return 0
	}
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return 0
	}
	var port uint32
	_ = raw.Control(func(fd uintptr) {
		if address, err := unix.Getsockname(int(fd)); err == nil {
			if address, ok := address.(*unix.SockaddrNetlink); ok {
				port = address.Pid
			}
		}
	})
	return port
}

// ourOwn reports whether a message is about our table, or about our chain in the
// mangle table of iptables and the rule there that leads to it.
func ourOwn(m netlink.Message) bool {
	var table, chain string
	jump := false
	kind := m.Header.Type & 0xff
	at := uint16(unix.NFTA_CHAIN_NAME)
	if kind == unix.NFT_MSG_NEWRULE || kind == unix.NFT_MSG_DELRULE {
		at = unix.NFTA_RULE_CHAIN
	}
	_ = decode(m, func(ad *netlink.AttributeDecoder) { // what is half understood is not ours
		switch ad.Type() {
		case unix.NFTA_TABLE_NAME: // in all these messages the table comes first
			table = ad.String()
		case at:
			chain = ad.String()
		case unix.NFTA_RULE_USERDATA: // of rules only: other messages have other numbers there
			jump = at == unix.NFTA_RULE_CHAIN && find([]kernelRule{{userdata: ad.Bytes()}}, jumpComment) == 0
		}
	})
	switch m.Data[0] {
	case unix.NFPROTO_INET, unix.NFPROTO_BRIDGE:
		return table == firewall.TableName
	case unix.NFPROTO_IPV4:
		return table == mangleTable && (chain == mangleChain || chain == mangleHook && jump)
	}
	return false
}

// author returns the program that made a generation of the ruleset.
func author(m netlink.Message) (program string, pid uint32) {
	_ = decode(m, func(ad *netlink.AttributeDecoder) { // an old kernel does not tell
		switch ad.Type() {
		case unix.NFTA_GEN_PROC_PID:
			pid = ad.Uint32()
		case unix.NFTA_GEN_PROC_NAME:
			program = printable(ad.String())
		}
	})
	return program, pid
}

// printable keeps what a program calls itself out of the way of terminals and
// logs.
func printable(s string) string {
	clean := []byte(s)
	for i, c := range clean {
		if c < ' ' || c > '~' {
			clean[i] = '?'
		}
	}
	return string(clean)
}
