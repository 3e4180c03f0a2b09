package host

import (
	"bytes"
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// delLink removes a link, and returns when it is out of the namespace. The
// kernel's own work goes on after that, while it waits for its readers
// (netdev_run_todo): its answer comes tens of milliseconds later, when the name
// has long been free. That wait is left to a goroutine; Close waits for it.
func (h *Host) delLink(ctx context.Context, op step.DelLink) error {
	const doing = "removing link"
	if err := checkLink(op.Name); err != nil {
		return opError(doing, op.Name, err)
	}
	index, err := h.index(op.Name)
	if errors.Is(err, syscall.ENODEV) {
		return nil
	} else if err != nil {
		return opError(doing, op.Name, err)
	}
	if op.MAC != (xml.MAC{}) {
		link, err := h.tc.LinkByIndex(index)
		if err != nil {
			return opError(doing, op.Name, ignore(err, gone))
		}
		if !bytes.Equal(link.Attrs().HardwareAddr, op.MAC[:]) {
			return nil // somebody else's
		}
	}
	watch, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: unix.RTMGRP_LINK})
	if err != nil {
		return opError(doing, op.Name, err)
	}
	s, err := openSocket(false)
	if err != nil {
		return opError(doing, op.Name, errors.Join(err, watch.Close()))
	}
	answer := make(chan error, 1)
	h.unlinks.Go(func() {
		defer s.close()
		answer <- s.change(unix.RTM_DELLINK, 0, linkMessage(unix.AF_UNSPEC, index))
		_ = watch.SetReadDeadline(time.Unix(1, 0)) // the watch is over
	})
	gone := make(chan struct{}, 1)
	h.unlinks.Go(func() {
		defer func() { _ = watch.Close() }()
		if sees(watch, index) {
			gone <- struct{}{}
		}
	})
	select {
	case <-gone:
		return nil
	case err := <-answer:
		if errors.Is(err, syscall.ENODEV) {
			return nil
		}
		return opError(doing, op.Name, err)
	case <-ctx.Done():
		return opError(doing, op.Name, ctx.Err())
	}
}

// sees reports whether the kernel tells that a link has gone, before the watch
// ends. One that missed messages ends too.
func sees(watch *netlink.Conn, index int) bool {
	for {
		messages, err := watch.Receive()
		if err != nil {
			return false
		}
		for _, m := range messages {
			if m.Header.Type != unix.RTM_DELLINK || len(m.Data) < unix.SizeofIfInfomsg {
				continue
			}
			info := nl.DeserializeIfInfomsg(m.Data)
			if info.Family == unix.AF_UNSPEC && int(info.Index) == index {
				return true
			}
		}
	}
}
