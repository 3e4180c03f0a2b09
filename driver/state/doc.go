// Package state owns every file, lock and directory that virbr keeps: libvirt's,
// in libvirt's places and formats, so that either daemon can take over from the
// other, and virbr's own beside them. The driver, the hook mode, the doctor and the
// commands read and write through it; nobody else knows a path.
//
// A write is atomic and durable: when it has returned, a reader finds the new text,
// also after a loss of power. What a file holds is typed here, but for undo records,
// whose format is their engine's ([Table]).
package state
