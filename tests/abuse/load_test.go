package abuse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/virbr/virbr/rpc/client"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/netnstest"
	"github.com/virbr/virbr/xml"
)

// shared is how many networks all clients have between them: few, so that they
// get in each other's way.
const shared = 16

func reference(n int) proto.Network {
	return proto.Network{Name: fmt.Sprintf("net%d", n), UUID: [16]byte{0xab, 5: 0x40, 8: 0x80, 15: byte(n)}}
}

func document(n int) string {
	ref := reference(n)
	return fmt.Sprintf(`<network><name>%s</name><uuid>%s</uuid><forward mode='nat'/><bridge name='virbr%d'/>
<ip address='10.70.%d.1' prefix='24'><dhcp><range start='10.70.%d.2' end='10.70.%d.254'/></dhcp></ip></network>`,
		ref.Name, xml.UUID(ref.UUID), n, n, n, n)
}

// action is what clients do.
type action struct {
	name   string
	weight int
	do     func(ctx context.Context, c *client.Conn, n, chance int) error
	right  []string // the errors that may come of others' being faster
}

// The causes of errors: what others may have done meanwhile.
const (
	gone      = "gone"
	running   = "running"
	stopped   = "stopped"
	transient = "transient"
	taken     = "added already"
	removed   = "removed already"
	busy      = "busy"
)

// told is what a client is told of a cause, in libvirt's words.
var told = map[string]*regexp.Regexp{
	gone:      regexp.MustCompile(`^Network not found: no network with matching (uuid|name) `),
	running:   regexp.MustCompile(`^Requested operation is not valid: network is already active`),
	stopped:   regexp.MustCompile(`^Requested operation is not valid: (network '[^']*' is not active|network is not running)`),
	transient: regexp.MustCompile(`^Requested operation is not valid: (can't undefine transient network|cannot change persistent config of a transient network)`),
	taken:     regexp.MustCompile(`^Requested operation is not valid: forward .* has port .* already`),
	removed:   regexp.MustCompile(`^Requested operation is not valid: there is no forward `),
	busy:      regexp.MustCompile(`^Timed out during operation: cannot acquire state change lock`),
}

// why returns the cause of an error, and whether it is one of those that are right.
func why(message string, right []string) (cause string, ok bool) {
	for _, cause := range right {
		if told[cause].MatchString(message) {
			return cause, true
		}
	}
	return "", false
}

var actions = []action{
	{"define", 4, func(ctx context.Context, c *client.Conn, n, _ int) error {
		return c.Call(ctx, proto.NetworkDefineXML, &proto.String{Value: document(n)}, new(proto.Network))
	}, nil},
	{"start", 4, func(ctx context.Context, c *client.Conn, n, _ int) error {
		return c.Call(ctx, proto.NetworkCreate, new(reference(n)), nil)
	}, []string{gone, running, busy}},
	{"destroy", 3, func(ctx context.Context, c *client.Conn, n, _ int) error {
		return c.Call(ctx, proto.NetworkDestroy, new(reference(n)), nil)
	}, []string{gone, stopped, busy}},
	{"undefine", 1, func(ctx context.Context, c *client.Conn, n, _ int) error {
		return c.Call(ctx, proto.NetworkUndefine, new(reference(n)), nil)
	}, []string{gone, transient, busy}},
	{"list", 4, func(ctx context.Context, c *client.Conn, _, _ int) error {
		_, err := c.Networks(ctx)
		return err
	}, nil},
	{"read XML", 6, func(ctx context.Context, c *client.Conn, n, chance int) error {
		var doc proto.String
		err := c.Call(ctx, proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: reference(n), Flags: uint32(chance % 2)}, &doc)
		if err == nil && !strings.Contains(doc.Value, "<name>"+reference(n).Name+"</name>") {
			err = fmt.Errorf("the XML of another network: %s", doc.Value)
		}
		return err
	}, []string{gone}},
	{"change forwards", 6, changeForwards, []string{gone, stopped, taken, removed, transient, busy}},
}

// changeForwards adds a forward or removes one.
func changeForwards(ctx context.Context, c *client.Conn, n, chance int) error {
	net, err := c.Lookup(ctx, reference(n).Name)
	if err != nil {
		return err
	}
	port := 10_000 + 100*n + chance%10
	f, err := xml.ParsePortForward([]byte(fmt.Sprintf("<portForward xmlns='%s' proto='tcp' guest='10.70.%d.9'><range start='%d'/></portForward>", xml.Namespace, n, port)))
	if err != nil {
		return err
	}
	affect := client.Affect(chance % 4) // as it is, live, config, both
	_, err = c.Edit(ctx, net, affect, client.Change{Forward: f, At: xml.Last, Remove: chance%3 == 0}, &client.Source{})
	return err
}

// tally counts what came of actions.
type tally struct {
	mu     sync.Mutex // guards counts
	counts map[string]int
}

func (c *tally) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(c.counts)) {
		fmt.Fprintf(&b, "%7d %s\n", c.counts[what], what)
	}
	return b.String()
}

// TestSideBySide: many clients define, start, list, change, stop and undefine the
// same networks. Each gets what it asked for, or is told rightly why not, and
// nothing is left of any.
func TestSideBySide(t *testing.T) {
	netnstest.NeedProgram(t, "virsh", "dnsmasq", "ip", "tc", "nft")
	netnstest.Run(t, func(t *testing.T) {
		for _, key := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} { // never reset
			if err := os.WriteFile("/proc/sys/net/"+key, []byte("1"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		d := start(t)
		c := dial(t)
		clear := func() {
			t.Helper()
			for n := range shared {
				for _, procedure := range []int32{proto.NetworkDestroy, proto.NetworkUndefine} {
					if err := c.Call(t.Context(), procedure, new(reference(n)), nil); err != nil {
						if _, ok := why(err.Error(), []string{gone, stopped}); !ok {
							t.Fatal(err)
						}
					}
				}
			}
		}
		load(t, 2, time.Second) // what is made once and kept, is made
		clear()
		left, host, before := traces(t), netnstest.Snapshot(t), d.use()
		clients, length := size(50, 200), time.Duration(size(5, 60))*time.Second
		var used [2]use
		for i := range used { // what grows in the second half, too, leaks
			counts := load(t, clients, length)
			clear()
			used[i] = d.settle(before)
			t.Logf("%d clients for %v:\n%s", clients, length, counts)
		}
		t.Logf("virbrd before: %s; after: %s; after as much again: %s", before, used[0], used[1])
		wantNoGrowth(t, used)
		if diff := cmp.Diff(host, netnstest.Snapshot(t)); diff != "" {
			t.Errorf("the host is not as it was (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(left, traces(t)); diff != "" {
			t.Errorf("files and processes are left (-before +after):\n%s", diff)
		}
	})
}

// load has clients work, and two people with virsh, for a while.
func load(t *testing.T, clients int, length time.Duration) *tally {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	counts := &tally{counts: map[string]int{}}
	var group errgroup.Group
	for i := range clients {
		group.Go(func() error { return work(ctx, t.Context(), uint64(i), counts) })
	}
	for i := range 2 {
		group.Go(func() error { return atShell(ctx, t, uint64(i), counts) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return counts
}

// work is one client's, until its time is over; a call that was begun is finished.
func work(until, ctx context.Context, seed uint64, counts *tally) error {
	r := rand.New(rand.NewPCG(seed, 1))
	c, err := client.Dial(ctx, client.Config{})
	if err != nil {
		return err
	}
	var deck []*action
	for i := range actions {
		for range actions[i].weight {
			deck = append(deck, &actions[i])
		}
	}
	for until.Err() == nil {
		a := deck[r.IntN(len(deck))]
		err := a.do(ctx, c, r.IntN(shared), r.IntN(1000))
		if err == nil {
			counts.add(a.name)
			continue
		}
		refusal, refused := errors.AsType[*client.Error](err)
		if !refused {
			return errors.Join(fmt.Errorf("%s: %w", a.name, err), c.Close())
		}
		cause, ok := why(refusal.Message, a.right)
		if !ok {
			return errors.Join(fmt.Errorf("%s: %w", a.name, err), c.Close())
		}
		counts.add(a.name + ": " + cause)
	}
	return c.Close()
}

// atShell is a person with virsh.
func atShell(until context.Context, t *testing.T, seed uint64, counts *tally) error {
	r := rand.New(rand.NewPCG(seed, 2))
	doc := filepath.Join(t.TempDir(), fmt.Sprintf("net%d.xml", seed))
	right := []string{gone, running, stopped, transient, busy}
	for until.Err() == nil {
		n := r.IntN(shared)
		if err := os.WriteFile(doc, []byte(document(n)), 0o600); err != nil {
			return err
		}
		name := reference(n).Name
		args := [][]string{{"net-list", "--all"}, {"net-define", doc}, {"net-start", name}, {"net-dumpxml", name}, {"net-info", name}, {"net-destroy", name}}[r.IntN(6)]
		cmd := exec.CommandContext(t.Context(), "virsh", append([]string{"-c", "network:///system?mode=direct"}, args...)...)
		cmd.Env = append(os.Environ(), "LC_ALL=C")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err == nil {
			counts.add("virsh " + args[0])
		} else if cause, ok := why(lastError(stderr.String()), right); ok {
			counts.add("virsh " + args[0] + ": " + cause)
		} else {
			return fmt.Errorf("virsh %v: %w: %s", args, err, stderr.String())
		}
	}
	return nil
}

// lastError returns the daemon's message from what virsh says.
func lastError(text string) string {
	i := strings.LastIndex(text, "error: ")
	if i < 0 {
		return ""
	}
	return strings.TrimSpace(text[i+len("error: "):])
}
