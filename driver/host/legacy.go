package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	fwnetlink "github.com/virbr/virbr/firewall/netlink"
)

const (
	// legacyPatience is how long iptables may take, its wait for the lock of
	// other iptables included.
	legacyPatience = 30 * time.Second
	// maxListing is how much of a listing of rules is read, in bytes.
	maxListing = 64 << 20
)

// legacy is one family of the iptables that was before nf_tables.
type legacy struct {
	tables  string // where the kernel lists the tables that are there
	program string
}

var legacies = []legacy{
	{tables: "/proc/net/ip_tables_names", program: "iptables-legacy"},
	{tables: "/proc/net/ip6_tables_names", program: "ip6tables-legacy"},
}

// dropLegacy removes the rules of libvirt that are in the tables of the older
// iptables, which nobody but its own program reads. Kernels mostly have none.
func (h *Host) dropLegacy(ctx context.Context) (dropped fwnetlink.Dropped, err error) {
	var errs []error
	for _, l := range legacies {
		names, err := l.names()
		errs = append(errs, err)
		for _, table := range names {
			errs = append(errs, l.drop(ctx, table, &dropped))
		}
	}
	return dropped, errors.Join(errs...)
}

// names returns the tables that there are.
func (l legacy) names() ([]string, error) {
	names, err := os.ReadFile(l.tables)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("asking for the tables of %s: %w", l.program, err)
	}
	return strings.Fields(string(names)), nil
}

// list returns the rules of a table, as -S prints them. It waits for who changes rules now.
func (l legacy) list(ctx context.Context, table string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, legacyPatience)
	defer cancel()
	return l.run(ctx, l.program, nil, "-w", "-t", table, "-S")
}

// restore has a script change rules.
func (l legacy) restore(ctx context.Context, script string) error {
	ctx, cancel := context.WithTimeout(ctx, legacyPatience)
	defer cancel()
	_, err := l.run(ctx, l.program+"-restore", strings.NewReader(script), "-w", "--noflush")
	return err
}

// drop removes libvirt's chains from one table, all at once, and adds them to
// what was dropped.
func (l legacy) drop(ctx context.Context, table string, dropped *fwnetlink.Dropped) error {
	if table != "filter" && table != "nat" && table != "mangle" {
		return nil
	}
	listing, err := l.list(ctx, table)
	if err != nil {
		return fmt.Errorf("looking for libvirt's rules in table %q of %s, which can be removed by hand "+
			"(see `%s -t %s -S | grep LIBVIRT`): %w", table, l.program, l.program, table, err)
	}
	script, chains := legacyScript(table, listing, dropped)
	if len(chains) == 0 {
		return nil
	}
	if err := l.restore(ctx, script); err != nil {
		return fmt.Errorf("removing libvirt's rules from table %q of %s: %w", table, l.program, err)
	}
	for _, chain := range chains {
		dropped.Parts = append(dropped.Parts, "chain "+l.program+" "+table+" "+chain)
	}
	return nil
}

// legacyScript turns the listing of a table (-S) into what iptables-restore
// needs to delete libvirt's chains and the jumps to them, and the chains' names.
func legacyScript(table, listing string, dropped *fwnetlink.Dropped) (script string, chains []string) {
	var jumps, flush, remove strings.Builder
	for line := range strings.Lines(listing) {
		line = strings.TrimSuffix(line, "\n")
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		own := fwnetlink.IsLibvirtChain(table, words[1])
		switch {
		case words[0] == "-N" && own:
			chains = append(chains, words[1])
			flush.WriteString("-F " + words[1] + "\n")
			remove.WriteString("-X " + words[1] + "\n")
			dropped.Input = dropped.Input || words[1] == "LIBVIRT_INP"
		case words[0] == "-A" && !own && fwnetlink.IsLibvirtChain(table, target(words)):
			jumps.WriteString("-D" + strings.TrimPrefix(line, "-A") + "\n")
		case table == "filter" && line == "-P INPUT DROP":
			dropped.Closed = append(dropped.Closed, "policy of INPUT")
		}
	}
	return "*" + table + "\n" + jumps.String() + flush.String() + remove.String() + "COMMIT\n", chains
}

// target returns where a rule leads to: the last -j or -g of its words.
func target(words []string) string {
	for i := len(words) - 2; i > 0; i-- {
		if words[i] == "-j" || words[i] == "-g" {
			return words[i+1]
		}
	}
	return ""
}

// run runs a program of iptables and returns what it prints.
func (l legacy) run(ctx context.Context, program string, stdin io.Reader, args ...string) (string, error) {
	path, err := exec.LookPath(program)
	for _, dir := range filepath.SplitList(sbin) {
		if err != nil || !filepath.IsAbs(path) {
			path, err = exec.LookPath(filepath.Join(dir, program))
		}
	}
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", program, err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"PATH=" + sbin}
	cmd.Stdin = stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{to: &stdout, left: maxListing}, &limited{to: &stderr, left: maxOutput}
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s: %w: %s", program, err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// limited passes on so many bytes and loses the rest.
type limited struct {
	to   *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.to.Write(p[:n])
	return len(p), nil
}
