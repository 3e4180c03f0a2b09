package policy

import (
	"go/ast"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/virbr/virbr"

// room is one row of the import table: a package and all that it may import.
// Imports of the standard library are free, but for those in fences below.
type room struct {
	path   string   // below the module
	ours   []string // packages of this module
	theirs []string // modules of others, by prefix
	pure   bool     // no I/O, clock, randomness or context; builds anywhere
	why    string
}

var rooms = []room{
	{path: "xml", pure: true, theirs: []string{"libvirt.org/go/libvirtxml", "golang.org/x/text/encoding/charmap"},
		why: "the definition is what all others share, so it knows none of them"},
	{path: "virbrxml", pure: true, ours: []string{"xml"}, theirs: []string{"libvirt.org/go/libvirtxml"},
		why: "for programs of others: the vocabulary inside libvirtxml's types, checked by the code that virbrd has"},
	{path: "schemas/relaxng", pure: true, ours: []string{"xml"}, why: "checks any document, as xml reads it, against any grammar"},
	{path: "schemas", pure: true, ours: []string{"xml", "schemas/relaxng"},
		why: "embedded grammars and their check; a document is refused with xml's error"},
	{path: "dnsmasq", pure: true, ours: []string{"xml"},
		why: "definition in, files' text out"},
	{path: "firewall", pure: true, ours: []string{"xml"},
		why: "definition in, typed rules out; text is one form of them"},
	{path: "firewall/coexist", pure: true, why: "what others have in the packet filter in, what is in the way and what to add out; the kernel is others' business"},
	{path: "firewall/netlink", ours: []string{"firewall", "firewall/coexist"}, theirs: []string{"github.com/google/nftables", "golang.org/x/sys", "github.com/mdlayher/netlink"},
		why: "the other form of the rules; apart, so that firewall stays pure"},
	{path: "disk", why: "how any room reads and replaces a file; which files is theirs to know"},
	{path: "hooks", ours: []string{"xml"},
		why: "owns argv, stdin document and the running of people's scripts"},
	{path: "driver/policy", pure: true, ours: []string{"firewall"},
		why: "what networks need of routing in, rules and routes out; the kernel is others' business"},
	{path: "driver/step", pure: true, ours: []string{"xml", "firewall", "firewall/coexist"},
		why: "the language of what is done to a host: it knows no definition's meaning, and nobody who does it"},
	{path: "driver/plan", pure: true, ours: []string{"driver/policy", "xml", "dnsmasq", "firewall", "firewall/coexist", "driver/step"},
		why: "definition and facts in, steps out"},
	{path: "driver/engine", ours: []string{"disk", "driver/state", "driver/step"},
		why: "leads from steps to steps through the interface that it declares; which steps is others' business"},
	{path: "doctor", pure: true, ours: []string{"delegation", "xml", "dnsmasq", "firewall/coexist", "driver/plan", "driver/step"},
		why: "facts in, findings out; it looks at nothing itself"},
	{path: "topology", pure: true, ours: []string{"delegation", "xml", "dnsmasq", "firewall", "firewall/coexist", "doctor"},
		why: "facts in, a graph and its drawings out; what may pass is asked of the rules themselves"},
	{path: "doctor/collect", ours: []string{"disk", "xml", "dnsmasq", "doctor", "driver/host", "driver/state"}, theirs: []string{"golang.org/x/sys/unix"},
		why: "reads files for the doctor; what the kernel tells it has from driver/host"},
	{path: "driver/host", ours: []string{"delegation", "driver/policy", "disk", "xml", "dnsmasq", "doctor", "topology", "firewall", "firewall/coexist", "firewall/netlink", "driver/plan", "driver/step", "leases"},
		theirs: []string{"github.com/google/nftables", "github.com/mdlayher/netlink", "github.com/vishvananda/netlink", "github.com/vishvananda/netns", "github.com/godbus/dbus/v5", "github.com/ti-mo/conntrack", "golang.org/x/sys", "golang.org/x/sync"},
		why:    "the one door to the system: it runs steps and decides nothing"},
	{path: "delegation", pure: true,
		why: "what routers say in, what is to be said to them out; it knows no network"},
	{path: "delegation/client", ours: []string{"delegation"}, theirs: []string{"golang.org/x/sys/unix"},
		why: "owns the socket that routers are asked by; the host and the file it reaches through interfaces that it declares"},
	{path: "driver/history", ours: []string{"disk", "xml"},
		why: "definitions that networks had, as files; when one is kept is the driver's to say"},
	{path: "driver/state", ours: []string{"delegation", "disk", "xml", "dnsmasq", "driver/plan", "driver/step", "leases"}, theirs: []string{"golang.org/x/sys/unix"},
		why: "owns every file, lock and directory; what they are for is others' business"},
	{path: "driver", ours: []string{"delegation", "driver/policy", "disk", "quota", "xml", "schemas", "dnsmasq", "firewall", "hooks", "driver/history", "driver/engine", "driver/plan", "driver/state", "driver/step", "leases"}, theirs: []string{"golang.org/x/sys", "golang.org/x/sync"},
		why: "reaches the host through the interface that it declares, never by itself"},
	{path: "overlay", ours: []string{"driver/policy", "disk", "xml", "dnsmasq", "firewall", "hooks", "driver/engine", "driver/history", "driver/plan", "driver/state", "driver/step", "leases"},
		why: "adds to networks that another daemon runs; reaches the host through the interface that it declares"},
	{path: "driver/hosttest", ours: []string{"driver/policy", "driver", "driver/plan", "driver/step", "xml", "firewall"},
		why: "the printing stand-in for driver/host, for tests"},
	{path: "quota", why: "divides one number among users; what it is a number of is others' business"},
	{path: "rpc/wire", why: "frames and XDR know no procedure"},
	{path: "rpc/proto", ours: []string{"rpc/wire"}, why: "messages as plain structs"},
	{path: "rpc/ssh", why: "gets to another host; what is said there is others' business"},
	{path: "rpc/client", ours: []string{"disk", "rpc/ssh", "rpc/wire", "rpc/proto", "xml"},
		why: "the other side of rpc, for virbr: of the daemon it knows what is said on the wire"},
	{path: "rpc/polkit", theirs: []string{"github.com/godbus/dbus/v5"}, why: "asks polkit over D-Bus; what is asked is up to rpc"},
	{path: "rpc", ours: []string{"quota", "rpc/wire", "rpc/proto", "rpc/polkit", "driver", "driver/history", "driver/plan", "driver/state", "driver/step", "xml", "hooks", "schemas", "dnsmasq", "firewall"},
		theirs: []string{"golang.org/x/sys", "golang.org/x/sync", "github.com/coreos/go-systemd/v22/activation"},
		why:    "sees the driver, and other rooms' error types for the one table of codes; never the host"},
	{path: "leases", ours: []string{"dnsmasq"}, theirs: []string{"golang.org/x/sys/unix"},
		why: "a process of it starts for every lease: it must stay small"},
	{path: "examples/forward", ours: []string{"virbrxml"}, theirs: []string{"libvirt.org/go/libvirt", "libvirt.org/go/libvirtxml"}, why: "what programs of others need: nothing else of ours"},
	{path: "cmd/virbr-leaseshelper", ours: []string{"leases"}, why: "wiring, and nothing that takes time to start"},
	{path: "metrics", ours: []string{"driver", "quota"},
		why: "reads numbers and writes them; where they come from is wiring"},
	{path: "config", why: "text in, typed settings out; what they mean is up to cmd"},
	{path: "cli", ours: []string{"xml", "schemas", "dnsmasq", "firewall", "driver/history", "driver/plan", "driver/state", "driver/step", "doctor", "topology", "rpc/client", "rpc/ssh", "config"}, theirs: []string{"github.com/rogpeppe/go-internal/diff", "github.com/spf13/cobra", "github.com/spf13/pflag"},
		why: "virbr's commands work on files, or ask a daemon: without the driver and the host"},
	{path: "cmd/virbr", ours: []string{"cli", "config", "doctor", "doctor/collect", "driver/host", "driver/state", "topology"}, why: "wiring"},
	{path: "cmd/virbrd", ours: []string{"config", "delegation/client", "disk", "dnsmasq", "driver", "driver/host", "driver/plan", "driver/state", "driver/step", "overlay", "hooks", "leases", "metrics", "quota", "rpc", "rpc/polkit", "schemas"},
		theirs: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/coreos/go-systemd/v22", "golang.org/x/sync", "golang.org/x/sys"}, why: "wiring"},
}

// fence keeps one package of the standard library to few rooms.
type fence struct {
	imports string
	allowed []string // rooms, with all below them; nil: none
	why     string
}

var fences = []fence{
	{"encoding/xml", []string{"xml", "schemas"}, "one reader of documents; a second one would accept what the first refuses"},
	{"os/exec", []string{"driver/host", "hooks", "rpc/ssh"}, "processes are started by the door to the system, by hooks, and by virbr to reach other hosts"},
	{"unsafe", nil, "hostile input and unsafe do not go together"},
	{"math/rand", nil, "what is generated must not be guessable: crypto/rand"},
	{"plugin", nil, "the daemon is static"},
	{"C", nil, "the daemon is static"},
}

// impure are the imports that a pure room must do without.
var impure = []string{"os", "os/exec", "io/ioutil", "net", "net/http", "context", "log", "log/slog", "crypto/rand", "math/rand", "math/rand/v2", "syscall"}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test || strings.HasPrefix(f.pkg, "tests") {
			continue
		}
		i := slices.IndexFunc(rooms, func(r room) bool { return r.path == f.pkg })
		if i < 0 {
			t.Errorf("%s: package %s has no row in the import table of tests/policy: add one, with its reason", f.path, f.pkg)
			continue
		}
		for _, imp := range f.ast.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			if complaint := forbidden(rooms[i], path); complaint != "" {
				t.Errorf("%s imports %s: %s", f.at(imp), path, complaint)
			}
		}
	}
}

// forbidden says why a room may not import a path; "" if it may.
func forbidden(r room, path string) string {
	if own, ok := strings.CutPrefix(path, module+"/"); ok {
		if !slices.Contains(r.ours, own) {
			return r.path + " may not: " + r.why
		}
		return ""
	}
	if strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
		if !slices.ContainsFunc(r.theirs, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") }) {
			return r.path + " may not: " + r.why
		}
		return ""
	}
	if r.pure && slices.Contains(impure, path) {
		return r.path + " is pure"
	}
	for _, f := range fences {
		allowed := func(in string) bool { return r.path == in || strings.HasPrefix(r.path, in+"/") }
		if path == f.imports && !slices.ContainsFunc(f.allowed, allowed) {
			return f.why
		}
	}
	return ""
}

// clocks are the functions that make a pure room depend on when it runs.
var clocks = []string{"Now", "Since", "Until", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc"}

func TestPureRoomsHaveNoClock(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test || !slices.ContainsFunc(rooms, func(r room) bool { return r.pure && r.path == f.pkg }) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if name, ok := selector(n, "time"); ok && slices.Contains(clocks, name) {
				t.Errorf("%s calls time.%s: a pure room has no clock", f.at(n), name)
			}
			return true
		})
	}
}

func TestPureRoomsBuildAnywhere(t *testing.T) {
	t.Parallel()
	args := []string{"vet"}
	for _, r := range rooms {
		if files, _ := filepath.Glob(filepath.Join(root, r.path, "*.go")); r.pure && len(files) > 0 {
			args = append(args, "./"+r.path)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=darwin", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("GOOS=darwin go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
