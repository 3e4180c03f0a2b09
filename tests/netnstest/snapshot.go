package netnstest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// passing matches what the kernel changes by itself while a link settles:
// a bridge's timers (the ageing time is shortened while its topology changes), the carrier, duplicate address detection, and the
// routes of a link-local address that has passed it.
var passing = regexp.MustCompile(`(?m) *(\w+_timer|ageing_time) +[0-9.]+| topology_change(_detected)? \d|NO-CARRIER,|,LOWER_UP| state (UNKNOWN|DOWN|UP)\b| linkdown| tentative|^(local|anycast) fe80:.*\n`)

// settled leaves out what matches passing.
func settled(s string) string { return passing.ReplaceAllString(s, "") }

// Snapshot returns the state of the test's network namespace by topic: links,
// addresses, routes, nftables ruleset, qdiscs, filters and sysctls (those of
// /proc/sys/net). Two of them can be compared with go-cmp. Counters and what
// settles by itself are left out. A topic whose program is missing fails the test.
func Snapshot(t testing.TB) map[string]string {
	t.Helper()
	NeedProgram(t, "ip", "tc", "nft", "sysctl")
	state := map[string]string{
		"links":     settled(output(t, "ip", "-o", "-d", "link", "show")),
		"addresses": settled(output(t, "ip", "-o", "addr", "show")),
		"routes":    settled(output(t, "ip", "route", "show", "table", "all")),
		"routes6":   settled(output(t, "ip", "-6", "route", "show", "table", "all")),
		"rules":     output(t, "nft", "-s", "list", "ruleset"),
		"qdiscs":    output(t, "tc", "qdisc", "show"),
		"sysctls":   sysctls(),
	}
	links, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatalf("listing links: %v", err)
	}
	for _, l := range links {
		state["tc "+l.Name()] = output(t, "tc", "class", "show", "dev", l.Name()) +
			output(t, "tc", "filter", "show", "dev", l.Name()) +
			output(t, "tc", "filter", "show", "dev", l.Name(), "egress") +
			output(t, "tc", "filter", "show", "dev", l.Name(), "ingress")
	}
	return state
}

// output runs a program that lists something.
func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(out), "Specified qdisc kind is unknown") {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// sysctls reads the settings of /proc/sys/net that are this namespace's own.
func sysctls() string {
	var b strings.Builder
	for _, root := range []string{"/proc/sys/net/ipv4", "/proc/sys/net/ipv6"} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.Contains(path, "/neigh/") || strings.HasSuffix(path, "/stable_secret") || strings.HasSuffix(path, "/tcp_fastopen_key") {
				return nil //nolint:nilerr // a link may go while we walk
			}
			if data, err := os.ReadFile(path); err == nil {
				b.WriteString(path + "=" + string(data))
			}
			return nil
		})
	}
	return b.String()
}
