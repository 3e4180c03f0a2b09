package netnstest

import (
	"context"
	"fmt"
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
	state, err := State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// listings are the topics of a Snapshot that one program lists.
var listings = []struct {
	topic   string
	settles bool
	args    []string
}{
	{"links", true, []string{"ip", "-o", "-d", "link", "show"}},
	{"addresses", true, []string{"ip", "-o", "addr", "show"}},
	{"routes", true, []string{"ip", "route", "show", "table", "all"}},
	{"routes6", true, []string{"ip", "-6", "route", "show", "table", "all"}},
	{"rules", false, []string{"nft", "-s", "list", "ruleset"}},
	{"qdiscs", false, []string{"tc", "qdisc", "show"}},
}

// State is [Snapshot] without a test. Links that go meanwhile are an error.
func State(ctx context.Context) (map[string]string, error) {
	state := map[string]string{"sysctls": sysctls()}
	for _, l := range listings {
		text, err := output(ctx, l.args...)
		if err != nil {
			return nil, err
		}
		if l.settles {
			text = settled(text)
		}
		state[l.topic] = text
	}
	links, err := os.ReadDir("/sys/class/net")
	if err != nil {
		return nil, fmt.Errorf("listing links: %w", err)
	}
	for _, l := range links {
		if state["tc "+l.Name()], err = queues(ctx, l.Name()); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// queues lists the traffic classes and filters of a link, by one process.
func queues(ctx context.Context, link string) (string, error) {
	dev := " show dev " + link
	cmd := exec.CommandContext(ctx, "tc", "-force", "-batch", "-")
	cmd.Stdin = strings.NewReader("class" + dev + "\nfilter" + dev + "\nfilter" + dev + " egress\nfilter" + dev + " ingress\n")
	return listed(cmd)
}

// output runs a program that lists something.
func output(ctx context.Context, args ...string) (string, error) {
	return listed(exec.CommandContext(ctx, args[0], args[1:]...))
}

func listed(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.Contains(string(out), "Specified qdisc kind is unknown") {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), nil
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
