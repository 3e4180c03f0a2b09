package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// maxRate keeps sums of rates in kilobytes per second within 64 bits of bytes.
const maxRate = 1 << 50

// bytesPerSecond converts libvirt's kilobytes per second, which are of 1000
// bytes as tc's kbps. The kernel refuses rates whose lower 32 bits are zero, so
// such a one grows by a byte.
func bytesPerSecond(kilobytes uint64) uint64 {
	rate := max(min(kilobytes, maxRate), 1) * 1000
	if uint32(rate) == 0 {
		rate++
	}
	return rate
}

// quantum is how many bytes a class may send in its turn, by libvirt's rule.
func quantum(average uint64) uint32 {
	return uint32(min(max(min(average, maxRate)*1024/8/1500, 1), math.MaxUint32))
}

// shapeNetwork limits what a bridge carries: by HTB on the bridge what is sent
// to guests, by a policer what they send. What it made is taken back on an
// error, also what is there for one direction when the other cannot be had.
func (h *Host) shapeNetwork(ctx context.Context, op step.ShapeNetwork) error {
	const doing = "limiting the bandwidth of"
	index, err := h.index(op.Bridge)
	if err != nil {
		return opError(doing, op.Bridge, err)
	}
	var undo undoStack
	if in := op.Bandwidth.Inbound; in != nil && in.Average > 0 {
		err = h.shapeInbound(index, in, &undo)
	} else {
		err = h.delRoot(index)
	}
	switch out := op.Bandwidth.Outbound; {
	case err != nil:
	case out != nil && out.Average > 0:
		err = h.shapeOutbound(index, out, op.Bridge, &undo)
	default:
		err = errors.Join(h.delPolice(index), h.delClsact(index))
	}
	if err != nil {
		err = errors.Join(err, undo.run())
	}
	return opError(doing, op.Bridge, err)
}

// undoStack is what takes back the parts of one op.
type undoStack []func() error

func (u *undoStack) push(f func() error) { *u = append(*u, f) }

// run takes back the latest first, and goes on after errors.
func (u undoStack) run() error {
	var errs []error
	for i := range u {
		errs = append(errs, u[len(u)-1-i]())
	}
	return errors.Join(errs...)
}

func (h *Host) shapeInbound(index int, in *xml.Rate, undo *undoStack) error {
	made, err := h.addRoot(index)
	if err != nil {
		return err
	}
	if made {
		undo.push(func() error { return h.delRoot(index) })
	}
	rate, ceil := bytesPerSecond(in.Average), peak(in)
	if err := h.setClass(index, rootQdisc, totalClass, rate, ceil, 0, quantum(in.Average)); err != nil {
		return err
	}
	if err := h.setDefault(index, in.Average, in); err != nil {
		return err
	}
	if err := h.addLeaf(index, defaultClass, defaultLeaf); err != nil {
		return err
	}
	return h.addMark(index)
}

// peak returns what a network may carry at most, in bytes per second.
func peak(in *xml.Rate) uint64 { return bytesPerSecond(max(in.Peak, in.Average)) }

// setDefault sets the class of guests without a floor.
func (h *Host) setDefault(index int, rate uint64, in *xml.Rate) error {
	return h.setClass(index, totalClass, defaultClass, bytesPerSecond(rate), peak(in), min(in.Burst, maxRate)<<10, quantum(in.Average))
}

func (h *Host) shapeOutbound(index int, out *xml.Rate, bridge string, undo *undoStack) error {
	made, err := h.addClsact(index)
	if err != nil {
		return err
	}
	if made {
		undo.push(func() error { return h.delClsact(index) })
	}
	err = h.addPolice(index, out)
	if missing(err) {
		return fmt.Errorf("%w: outbound bandwidth of %q cannot be enforced: %w", ErrNoPolice, bridge, err)
	}
	if err != nil {
		return fmt.Errorf("adding the policer: %w", err)
	}
	undo.push(func() error { return h.delPolice(index) })
	return nil
}

// unshapeNetwork removes both limits; what is missing is no error.
func (h *Host) unshapeNetwork(_ context.Context, op step.UnshapeNetwork) error {
	const doing = "lifting the bandwidth limits of"
	index, err := h.index(op.Bridge)
	if err != nil {
		return opError(doing, op.Bridge, ignore(err, gone))
	}
	return opError(doing, op.Bridge, errors.Join(
		h.delRoot(index),
		h.delPolice(index),
		h.delClsact(index),
	))
}

// shapePort gives one guest's packets a class of their own.
func (h *Host) shapePort(_ context.Context, op step.ShapePort) error {
	doing := fmt.Sprintf("reserving class %d on", op.Class)
	index, err := h.portIndex(op.Bridge, op.Class)
	if err != nil {
		return opError(doing, op.Bridge, err)
	}
	ceil := bytesPerSecond(max(op.Ceil, op.Floor))
	err = h.setClass(index, totalClass, rootQdisc|op.Class, bytesPerSecond(op.Floor), ceil, 0, quantum(op.Average))
	if err == nil {
		err = h.addLeaf(index, rootQdisc|op.Class, op.Class<<16)
	}
	if err == nil {
		if err = h.tc.FilterReplace(macFilter(index, op.Class, op.MAC)); err != nil {
			err = fmt.Errorf("adding the filter: %w", err)
		}
	}
	if err != nil {
		err = errors.Join(err, h.delPort(index, op.Class))
	}
	return opError(doing, op.Bridge, err)
}

// portIndex returns the index of a bridge, for a class that a port can have.
func (h *Host) portIndex(bridge string, class uint32) (int, error) {
	if class < minClass || class > maxClass {
		return 0, fmt.Errorf("checking class %d (of %d to %d): %w", class, minClass, maxClass, syscall.ERANGE)
	}
	return h.index(bridge)
}

func (h *Host) unshapePort(_ context.Context, op step.UnshapePort) error {
	doing := fmt.Sprintf("giving back class %d on", op.Class)
	index, err := h.portIndex(op.Bridge, op.Class)
	if err == nil {
		err = h.delPort(index, op.Class)
	}
	return opError(doing, op.Bridge, ignore(err, gone))
}

// delPort deletes the parts of a port's class; the class itself goes last, as
// the kernel keeps it while a filter leads to it.
func (h *Host) delPort(index int, class uint32) error {
	leaf := &netlink.Sfq{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Parent: rootQdisc | class, Handle: class << 16}}
	own := &netlink.HtbClass{ClassAttrs: netlink.ClassAttrs{LinkIndex: index, Parent: totalClass, Handle: rootQdisc | class}}
	return errors.Join(
		ignore(h.tc.QdiscDel(leaf), gone),
		ignore(h.tc.FilterDel(macFilter(index, class, xml.MAC{})), gone),
		ignore(h.tc.ClassDel(own), gone),
	)
}

func (h *Host) setDefaultRate(op step.SetDefaultRate) error {
	const doing = "setting the rate of the default class of"
	index, err := h.index(op.Bridge)
	if err == nil {
		err = h.setDefault(index, op.Rate, &op.Inbound)
	}
	return opError(doing, op.Bridge, err)
}
