package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"

	"github.com/virbr/virbr/config"
	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/metrics"
	"github.com/virbr/virbr/quota"
	"github.com/virbr/virbr/rpc"
)

// scrapes serves metrics. Without a listener nobody asked for them.
type scrapes struct {
	collector *metrics.Collector
	listener  net.Listener
}

func (s scrapes) Run(ctx context.Context) error {
	if s.listener == nil {
		<-ctx.Done()
		return nil
	}
	return s.collector.Serve(ctx, s.listener)
}

func (s scrapes) String() string { return "serving metrics" }

// newScrapes opens what the configuration names.
func newScrapes(ctx context.Context, at config.Address, cfg metrics.Config) (scrapes, error) {
	l, err := listenMetrics(ctx, at)
	return scrapes{metrics.New(cfg), l}, err
}

func (s scrapes) close() error {
	if s.listener == nil {
		return nil
	}
	return s.listener.Close()
}

// listenMetrics opens what the configuration names; nil where it names nothing.
// A socket is root's and its group's.
func listenMetrics(ctx context.Context, at config.Address) (net.Listener, error) {
	switch {
	case at.Path != "":
		l, err := rpc.Listen(rpc.SocketConfig{Path: at.Path, Mode: 0o660})
		return l.Listener, err
	case at.TCP.IsValid():
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at.TCP.String())
		if err != nil {
			return nil, fmt.Errorf("listening for metrics: %w", err)
		}
		return l, nil
	}
	return nil, nil
}

// userOf says on whose account a client is. Those of whom nothing is known are one
// user, whose id nobody has.
func userOf(conn net.Conn) quota.User {
	switch uid, err := host.PeerUID(conn); {
	case err != nil:
		return quota.User{UID: math.MaxUint32}
	case uid == 0:
		return quota.User{Class: quota.Root}
	default:
		return quota.User{UID: uid}
	}
}

// collect returns a collector of what driver, server and host know.
func collect(networks *driver.Driver, server *rpc.Server, h *host.Host, log *slog.Logger) metrics.Config {
	return metrics.Config{
		Log:      log,
		Version:  version,
		Networks: networks.Stats,
		Starts:   networks.StartTimes,
		Clients:  server.Clients,
		User:     userOf,
		Traffic: func(ctx context.Context) (map[string]metrics.Traffic, error) {
			links, err := h.Traffic(ctx)
			list := make(map[string]metrics.Traffic, len(links))
			for name, t := range links {
				list[name] = metrics.Traffic(t)
			}
			return list, err
		},
		Rejected: func(ctx context.Context, bridges []string) (map[string]metrics.Rejected, error) {
			rules, err := h.Rejected(ctx, bridges)
			list := make(map[string]metrics.Rejected, len(rules))
			for name, r := range rules {
				list[name] = metrics.Rejected(r)
			}
			return list, err
		},
		Stopped: func(ctx context.Context) ([]metrics.Stopped, error) {
			var list []metrics.Stopped
			all, err := h.Stopped(ctx)
			for _, s := range all {
				list = append(list, metrics.Stopped{Bridge: s.Bridge, Link: s.Link, Guest: s.Guest, Cause: string(s.Cause), Packets: s.Packets})
			}
			return list, err
		},
	}
}
