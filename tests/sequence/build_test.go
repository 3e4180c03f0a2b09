package sequence

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
)

// build brings a host with nothing to where a model says that it is, by defining
// and starting what there is, and by nothing else.
func (s *session) build(ctx context.Context) error {
	for net := range s.model.Networks {
		n := &s.model.Networks[net]
		if err := s.buildNetwork(ctx, net, n); err != nil {
			return fmt.Errorf("building network %q: %w", networks[net].name, err)
		}
	}
	return s.checkAll(ctx)
}

func (s *session) buildNetwork(ctx context.Context, net int, n *network) error {
	if n.Live != nil {
		ops := []op{{Kind: start, Net: net}}
		if err := s.define(ctx, net, n.Live); err != nil {
			return err
		}
		if n.Config == nil {
			ops = append(ops, op{Kind: undefine, Net: net}) // the running network stays, transient
		}
		if err := s.doAll(ctx, ops); err != nil {
			return err
		}
		if err := s.buildPorts(ctx, net, n); err != nil {
			return err
		}
	}
	if n.Config != nil {
		if err := s.define(ctx, net, n.Config); err != nil {
			return err
		}
	}
	if n.Autostart {
		if err := s.do(ctx, op{Kind: autostart, Net: net, Value: 1}); err != nil {
			return err
		}
	}
	for key, held := range n.Leases {
		if held {
			if err := leaseEvent(ctx, net, key, true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) doAll(ctx context.Context, ops []op) error {
	for _, o := range ops {
		if err := s.do(ctx, o); err != nil {
			return fmt.Errorf("%s: %w", o, err)
		}
	}
	return nil
}

// buildPorts creates ports so that each gets its traffic class: classes are given
// from the lowest that is free, so others hold those between for a while.
func (s *session) buildPorts(ctx context.Context, net int, n *network) error {
	const firstClass = 3
	var ops, gaps []op
	free := firstClass
	for _, p := range byClass(n.Ports) {
		for ; p.Class > 0 && free < p.Class; free++ { // with two floors there is one gap, by the other port
			ops = append(ops, op{Kind: portCreate, Net: net, Key: 1 - p.Key})
			gaps = append(gaps, op{Kind: portDelete, Net: net, Key: 1 - p.Key})
		}
		ops = append(ops, op{Kind: portCreate, Net: net, Key: p.Key})
		if p.Class > 0 {
			free++
		}
	}
	if n.Floored && free == firstClass {
		ops = append(ops, op{Kind: portCreate, Net: net, Key: 0})
		gaps = append(gaps, op{Kind: portDelete, Net: net, Key: 0})
	}
	return s.doAll(ctx, append(ops, gaps...))
}

// brief returns the element that finds an item, whatever its values are.
func (s section) brief(net, key int) string {
	switch s {
	case hosts:
		return fmt.Sprintf("<host mac='52:54:00:%02x:00:%02x'/>", 60+net, key)
	case dnsHosts:
		return fmt.Sprintf("<host ip='10.%d.0.%d'/>", 60+net, 240+key)
	case txts:
		return fmt.Sprintf("<txt name='t%d'/>", key)
	case ranges, srvs, portGroups, forwards, sections:
	}
	return s.document(net, item{Key: key})
}

// dropSome takes one thing out of our table that is of a network, if there is one:
// a rule, or what a map says. Another may be faster, and put all of it in again.
func dropSome(ctx context.Context, o op) error {
	out, err := exec.CommandContext(ctx, "nft", "-j", "list", "table", "inet", "virbr").Output()
	if err != nil {
		return nil //nolint:nilerr // there is no table
	}
	var list struct {
		Nftables []struct {
			Rule *struct {
				Chain  string
				Handle int
			}
			Map *struct{ Name string }
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return fmt.Errorf("nft: %w", err)
	}
	var commands [][]string
	for _, object := range list.Nftables {
		switch {
		case object.Rule != nil && o.Value == 0 && strings.HasSuffix(object.Rule.Chain, bridgeOf(o.Net)):
			commands = append(commands, []string{"delete", "rule", "inet", "virbr", object.Rule.Chain, "handle", fmt.Sprint(object.Rule.Handle)})
		case object.Map != nil && o.Value > 0:
			commands = append(commands, []string{"flush", "map", "inet", "virbr", object.Map.Name})
		}
	}
	if len(commands) > 0 {
		_ = run(ctx, "nft", commands[(o.Key+o.Net)%len(commands)]...)
	}
	return nil
}
