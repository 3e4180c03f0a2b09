package step

import (
	"fmt"
)

var limitOps = []Op{RaiseLimit{}}

// LimitKind is what there may be only so many of on a host.
type LimitKind uint8

// The kinds of Limit.
const (
	LimitInotify     LimitKind = iota // inotify instances of our user: dnsmasq takes one
	LimitWatches                      // inotify watches of our user: dnsmasq takes some
	LimitFiles                        // open files of the host
	LimitProcesses                    // processes and threads of the host
	LimitTasks                        // those of our control group
	LimitDescriptors                  // open files of the daemon: it has one for each dnsmasq
	LimitNeighbours                   // entries of a neighbour table: each guest is one
	LimitConnections                  // tracked connections: no start asks for some
)

// Limit is one bound of the kernel and how far away it is.
type Limit struct {
	Kind LimitKind

	// Key is the sysctl that sets it, as its path below /proc/sys. For
	// LimitTasks it is the file of the control group, for LimitDescriptors the
	// name of the resource; neither is ours to set.
	Key string

	Value int64 // of Key now
	// Free is how many more there may be; as many as were asked for at least,
	// where that is all that is known. Nobody knows it of watches and neighbours.
	Free int64

	// Fixed: it is not to be raised; see plan.Room.
	Fixed bool
}

// RaiseLimit sets a limit of the kernel higher: to Value, unless it is there
// already. It is never taken back: by then others may rely on it.
type RaiseLimit struct {
	Key   string // as in SetSysctl
	Value int64
}

func (o RaiseLimit) kind() kind {
	return kind{tag: "raise-limit", key: "limit " + word(o.Key), scope: ScopeHost}
}

func (o RaiseLimit) String() string { return fmt.Sprintf("limit raise %s to %d", word(o.Key), o.Value) }
