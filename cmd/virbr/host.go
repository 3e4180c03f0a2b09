package main

import (
	"context"
	"os"

	"github.com/virbr/virbr/cli"
	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/doctor/collect"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/topology"
)

// thisHost is the host that virbr runs on.
type thisHost struct{ *host.Host }

// open opens it, for commands that look at it.
func open() (cli.Host, error) {
	if os.Geteuid() != 0 {
		return nil, cli.ErrNotRoot
	}
	h, err := host.New(host.Config{})
	if err != nil {
		return nil, err
	}
	return thisHost{h}, nil
}

// Survey reads the facts for the doctor.
func (h thisHost) Survey(ctx context.Context, dirs state.Dirs) (*doctor.Facts, error) {
	return collect.Collect(ctx, h.Host, dirs)
}

// Counters reads those of some bridges and of their rules.
func (h thisHost) Counters(ctx context.Context, bridges []string) (map[string]topology.Counters, error) {
	links, err := h.Traffic(ctx)
	if err != nil {
		return nil, err
	}
	rules, err := h.Rejected(ctx, bridges)
	if err != nil {
		return nil, err
	}
	list := make(map[string]topology.Counters, len(bridges))
	for _, name := range bridges {
		l, r := links[name], rules[name]
		list[name] = topology.Counters{
			Received: topology.Count{Packets: l.ReceivedPackets, Bytes: l.ReceivedBytes}, Sent: topology.Count{Packets: l.SentPackets, Bytes: l.SentBytes},
			ReceivedDrops: l.ReceivedDrops, SentDrops: l.SentDrops, Leaving: r.Leaving, Entering: r.Entering,
		}
	}
	return list, nil
}
