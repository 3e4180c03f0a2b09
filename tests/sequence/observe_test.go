package sequence

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// observe tells what the host looks like, by topic: as netnstest.State, the files
// of networks, processes, and what the daemon says. What depends on when things
// were made is left out: indexes, handles, counters, process ids, order where it
// means nothing.
func (s *session) observe(ctx context.Context) (map[string]string, error) {
	state, err := netnstest.State(ctx)
	if err != nil {
		return nil, err
	}
	for _, topic := range []string{"links", "addresses", "routes", "routes6", "qdiscs"} {
		state[topic] = unordered(indexes.ReplaceAllString(state[topic], ""))
	}
	if state["rules"], err = rules(ctx); err != nil {
		return nil, err
	}
	if err := s.files(state); err != nil {
		return nil, err
	}
	state["processes"] = processes()
	if s.conn == nil {
		return state, nil
	}
	return state, s.answers(ctx, state)
}

// indexes are what numbers links.
var indexes = regexp.MustCompile(`(?m)^\d+: `)

func unordered(text string) string {
	list := strings.Split(strings.TrimSpace(text), "\n")
	for i := range list {
		list[i] = strings.TrimRight(list[i], " ")
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// checksums is a chain in which every bridge has a rule of its own, so that their
// order means nothing.
const checksums = "VIRBR_DHCP"

// rules returns the ruleset with one object a line. The order of rules in a chain
// means something, that of all else nothing.
func rules(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "nft", "-j", "list", "ruleset").Output()
	if err != nil {
		return "", fmt.Errorf("nft: %w", err)
	}
	var list struct{ Nftables []map[string]map[string]any }
	if err := json.Unmarshal(out, &list); err != nil {
		return "", fmt.Errorf("nft: %w", err)
	}
	chains, others := map[string][]string{}, []string(nil)
	for _, object := range list.Nftables {
		for kind, o := range object {
			if kind == "metainfo" {
				continue
			}
			strip(o)
			text, err := json.Marshal(o)
			if err != nil {
				return "", err
			}
			if kind == "rule" && o["chain"] != checksums {
				chain := fmt.Sprint(o["family"], o["table"], o["chain"])
				chains[chain] = append(chains[chain], fmt.Sprintf("rule %d %s", len(chains[chain]), text))
				continue
			}
			others = append(others, kind+" "+string(text))
		}
	}
	for _, chain := range chains {
		others = append(others, chain...)
	}
	slices.Sort(others)
	return strings.Join(others, "\n"), nil
}

// strip takes out what counts and numbers, and sorts elements.
func strip(o map[string]any) {
	delete(o, "handle")
	for key, value := range o {
		switch v := value.(type) {
		case map[string]any:
			if key == "counter" {
				delete(v, "packets")
				delete(v, "bytes")
			}
			strip(v)
		case []any:
			for _, e := range v {
				if m, ok := e.(map[string]any); ok {
					strip(m)
				}
			}
			if key == "elem" || key == "set" {
				slices.SortFunc(v, func(a, b any) int { return bytes.Compare(encoded(a), encoded(b)) })
			}
		}
	}
}

func encoded(v any) []byte {
	text, _ := json.Marshal(v)
	return text
}

// trees are where virbrd and dnsmasq write.
var trees = []string{"/etc/libvirt", "/etc/virbr", "/run/libvirt", "/run/virbr", "/var/lib/libvirt", "/var/lib/virbr"}

// volatile are files whose content is not compared, skipped those that are not
// looked at: they tell when a guest was first seen, and what definitions were.
var (
	volatile = regexp.MustCompile(`\.pid$|\.lock$|^/run/virbr/virbr_leaseshelper`)
	skipped  = regexp.MustCompile(`^/run/virbr/guests/|^/var/lib/virbr/history/`)
)

// left reports whether a file is what a network leaves behind, as with libvirt's
// daemon: one that does not run, what dnsmasq was to do when it ran last; one that
// serves no DHCP any more, the way to its leases, which are looked at where they are.
func (s *session) left(path string, mode fs.FileMode) bool {
	for net := range networks {
		n, base := &s.model.Networks[net], "/var/lib/libvirt/dnsmasq/"+networks[net].name
		stopped := n.Live == nil && n.Config != nil
		if stopped && (path == base+".conf" || path == base+".hostsfile" || path == base+".addnhosts") {
			return true
		}
		dhcp := n.Live != nil && len(n.Live.Lists[ranges])+len(n.Live.Lists[hosts]) > 0
		if (stopped || n.Live != nil && !dhcp) && (path == "/var/lib/libvirt/dnsmasq/virbr/"+bridgeOf(net)+".lock" ||
			mode&fs.ModeSymlink != 0 && path == "/var/lib/libvirt/dnsmasq/"+bridgeOf(net)+".status") {
			return true
		}
	}
	return false
}

// files adds a topic for every file.
func (s *session) files(state map[string]string) error {
	for _, tree := range trees {
		err := filepath.WalkDir(tree, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it has gone meanwhile, or there is none
			}
			if err != nil || e.IsDir() || skipped.MatchString(path) {
				return err
			}
			text := e.Type().String()
			if e.Type().IsRegular() && !volatile.MatchString(path) {
				data, err := os.ReadFile(path)
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				if err != nil {
					return err
				}
				text = s.content(path, data)
			}
			if (strings.HasSuffix(path, ".status") || strings.HasSuffix(path, ".macs")) && text == "" {
				return nil // a list of guests or leases that has none is as good as none
			}
			if s.left(path, e.Type()) {
				return nil
			}
			state["file "+path] = text
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// connections is what a status file says of ports: as with libvirt's daemon that
// is how many there were when it was written.
var connections = regexp.MustCompile(` connections='\d+'`)

// content makes a file's text comparable: leases and undo records are sets.
func (s *session) content(path string, data []byte) string {
	switch {
	case strings.HasPrefix(path, "/run/libvirt/network/") && strings.HasSuffix(path, ".xml"):
		return connections.ReplaceAllString(string(data), "")
	case strings.HasSuffix(path, ".macs"):
		return s.plugged(path, string(data))
	case strings.HasSuffix(path, ".status"):
		var leases []map[string]any
		if json.Unmarshal(data, &leases) != nil {
			return string(data)
		}
		var list []string
		for _, l := range leases {
			list = append(list, string(encoded(l)))
		}
		return unordered(strings.Join(list, "\n"))
	case strings.HasPrefix(path, "/run/virbr/networks/"):
		var record struct{ Undo []any }
		if json.Unmarshal(data, &record) != nil {
			return string(data)
		}
		var list []string
		for _, o := range record.Undo {
			list = append(list, string(encoded(o)))
		}
		return unordered(strings.Join(list, "\n"))
	}
	return string(data)
}

// plugged returns which ports a file of guests has. It may have others: as with
// libvirt's daemon they stay when the network stops.
func (s *session) plugged(path, text string) string {
	var b strings.Builder
	for net := range networks {
		if !strings.Contains(path, bridgeOf(net)+".") {
			continue
		}
		for _, p := range byClass(s.model.Networks[net].Ports) {
			fmt.Fprintf(&b, "port %d: %v\n", p.Key, strings.Contains(text, portMAC(net, p.Key)))
		}
	}
	return b.String()
}

// processes returns the command lines of all processes of the place.
func processes() string {
	var list []string
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range dirs {
		line, err := os.ReadFile(path)
		text := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		if err == nil && text != "" {
			list = append(list, text)
		}
	}
	return unordered(strings.Join(list, "\n"))
}

// answers adds what the daemon says of every network that it knows.
func (s *session) answers(ctx context.Context, state map[string]string) error {
	list, err := s.conn.Networks(ctx)
	if err != nil {
		return err
	}
	for _, n := range list {
		var b strings.Builder
		forwards, publics, err := s.conn.Resolved(ctx, n, &client.Source{})
		if err != nil {
			return err
		}
		for _, f := range forwards {
			fmt.Fprintf(&b, "%s: phase %d to %v\n", f.XML(), f.Phase, f.Addresses)
		}
		for _, p := range publics {
			fmt.Fprintf(&b, "%s: phase %d to %v\n", p.XML(), p.Phase, p.Addresses)
		}
		if n.Active {
			leases, err := s.conn.Leases(ctx, n)
			if err != nil {
				return err
			}
			lines := make([]string, 0, len(leases))
			for _, l := range leases {
				lines = append(lines, fmt.Sprint("lease ", l))
			}
			slices.Sort(lines)
			b.WriteString(strings.Join(lines, "\n"))
		}
		state["network "+n.Name] = b.String()
	}
	return nil
}

// checkAll wants the daemon to know what the model knows.
func (s *session) checkAll(ctx context.Context) error {
	for net := range networks {
		if err := s.check(ctx, net); err != nil {
			return err
		}
	}
	return nil
}

// check wants the daemon to know of a network what the model knows.
func (s *session) check(ctx context.Context, net int) error {
	n, name := &s.model.Networks[net], networks[net].name
	got, err := s.conn.Lookup(ctx, name)
	if client.IsNoNetwork(err) {
		if n.known() {
			return fmt.Errorf("virbrd does not know network %q", name)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if got.Active != (n.Live != nil) || got.Persistent != (n.Config != nil) {
		return fmt.Errorf("network %q: active %v, persistent %v; the model says %v and %v", name, got.Active, got.Persistent, n.Live != nil, n.Config != nil)
	}
	var auto proto.Int
	if err := s.conn.Call(ctx, proto.NetworkGetAutostart, new(reference(net)), &auto); err != nil {
		return err
	}
	if (auto.Value != 0) != n.Autostart {
		return fmt.Errorf("autostart of network %q is %d", name, auto.Value)
	}
	if n.Config != nil {
		if err := s.compare(ctx, net, n.Config, xml.Inactive, 0); err != nil {
			return err
		}
	}
	if n.Live == nil {
		return nil
	}
	if err := s.checkPorts(ctx, net); err != nil {
		return err
	}
	return s.compare(ctx, net, n.Live, 0, len(n.Ports))
}

// compare wants one form of a network's document to be what the model says.
func (s *session) compare(ctx context.Context, net int, d *definition, form xml.FormatFlags, connections int) error {
	var got proto.String
	if err := s.conn.Call(ctx, proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: reference(net), Flags: uint32(form)}, &got); err != nil {
		return err
	}
	want, err := d.expect(net, form)
	if err != nil {
		return err
	}
	if connections > 0 {
		want = strings.Replace(want, "<network>", fmt.Sprintf("<network connections='%d'>", connections), 1)
	}
	if got.Value != want {
		return fmt.Errorf("the XML of network %q, form %d, is (-model +virbrd):\n%s", networks[net].name, form,
			difference(map[string]string{"XML": want}, map[string]string{"XML": got.Value}))
	}
	return nil
}

// checkPorts wants a running network to have the model's ports, with their
// classes.
func (s *session) checkPorts(ctx context.Context, net int) error {
	var list proto.Ports
	if err := s.conn.Call(ctx, proto.NetworkListAllPorts, &proto.PortsArgs{Network: reference(net), Need: 1}, &list); err != nil {
		return err
	}
	ports := s.model.Networks[net].Ports
	if len(list.Ports) != len(ports) {
		return fmt.Errorf("network %q has %d ports, the model %d", networks[net].name, len(list.Ports), len(ports))
	}
	for _, p := range ports {
		var doc proto.String
		ref := proto.Port{Network: reference(net), UUID: portUUID(net, p.Key)}
		if err := s.conn.Call(ctx, proto.NetworkPortGetXMLDesc, &proto.PortFlags{Port: ref}, &doc); err != nil {
			return err
		}
		if class := fmt.Sprintf("classID='%d'", p.Class); p.Class > 0 && !strings.Contains(doc.Value, class) {
			return fmt.Errorf("port %d of network %q does not have %s:\n%s", p.Key, networks[net].name, class, doc.Value)
		}
	}
	return nil
}
