package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/leases"
	"github.com/virbr/virbr/tests/netnstest"
)

const (
	theirs    = "/usr/lib/libvirt/libvirt_leaseshelper"
	theirFile = "/var/lib/libvirt/dnsmasq/virbr0.status"
	// insideEnv tells a child that it is in namespaces of its own.
	insideEnv = "VIRBR_BENCH_INSIDE"
)

func main() {
	helper := flag.String("helper", "bin/"+leases.Name, "the helper to measure")
	flag.Parse()
	path, err := filepath.Abs(*helper)
	if err == nil && os.Getenv(insideEnv) == "" {
		err = inside(path)
	} else if err == nil {
		err = measure(path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// inside runs this program again where libvirt's directories are private.
func inside(helper string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-helper", helper)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = netnstest.Attributes()
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// contender is one of the two helpers.
type contender struct {
	program string
	env     []string
	file    string
	spent   time.Duration
}

func measure(helper string) error {
	if err := netnstest.Enter(); err != nil {
		return err
	}
	// Lease files are on disk in life, so both are here.
	disk, err := os.MkdirTemp("", "bench-leases-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(disk) }()
	ours := filepath.Join(disk, "ours")
	if err := prepare(disk, ours, helper); err != nil {
		return err
	}
	both := []*contender{
		{program: theirs, file: theirFile},
		{program: filepath.Join("/run", leases.Name), env: []string{"GOMAXPROCS=1"}, file: dnsmasq.Dirs{Dnsmasq: ours}.Leases("virbr0")},
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| events\t| leases before\t| libvirt, CPU\t| virbr, CPU\t| ratio\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|")
	for _, c := range []struct{ before, events int }{{0, 2000}, {10000, 200}} {
		if err := burst(both, c.before, c.events); err != nil {
			return err
		}
		libvirt, virbr := both[0].spent, both[1].spent
		fmt.Fprintf(w, "| %d\t| %d\t| %v\t| %v\t| %.1f\t|\n", c.events, c.before, libvirt.Round(time.Millisecond),
			virbr.Round(time.Millisecond), float64(libvirt)/float64(virbr))
	}
	return w.Flush()
}

// prepare lays out both helpers' directories.
func prepare(disk, ours, helper string) error {
	their := filepath.Join(disk, "theirs")
	return errors.Join(
		os.MkdirAll(dnsmasq.Dirs{Dnsmasq: ours}.Helper(), 0o755), os.MkdirAll(their, 0o755),
		os.Symlink(their, filepath.Dir(theirFile)),
		os.Symlink(ours, filepath.Join("/run", leases.Link)),
		os.Symlink(helper, filepath.Join("/run", leases.Name)),
	)
}

// burst has so many new leases follow each other on a network that has some.
func burst(both []*contender, before, events int) error {
	entries := make([]dnsmasq.Entry, before)
	for i := range entries {
		entries[i] = dnsmasq.Entry{Address: address(i), MAC: mac(i), Hostname: fmt.Sprint("guest", i), ClientID: "01:" + mac(i), Expiry: 1900000000}
	}
	for _, c := range both {
		c.spent = 0
		if err := os.WriteFile(c.file, dnsmasq.FormatLeases(entries), 0o644); err != nil {
			return err
		}
	}
	const turn = 50 // a burst is many in a row, but what else the machine does should meet both
	for i := 0; i < events; i += turn {
		for _, c := range both {
			for n := range turn {
				if err := c.add(before + i + n); err != nil {
					return err
				}
			}
		}
	}
	a, errA := os.ReadFile(both[0].file)
	b, errB := os.ReadFile(both[1].file)
	if string(a) != string(b) {
		return errors.Join(errors.New("the two lease files differ"), errA, errB)
	}
	return nil
}

// add runs the helper for one new lease.
func (c *contender) add(i int) error {
	cmd := exec.Command(c.program, "add", mac(i), address(i), fmt.Sprint("guest", i))
	cmd.Env = append([]string{"VIR_BRIDGE_NAME=virbr0", "DNSMASQ_INTERFACE=virbr0", "DNSMASQ_LEASE_EXPIRES=1900000000",
		"DNSMASQ_CLIENT_ID=01:" + mac(i), "DNSMASQ_TIME_REMAINING=3600"}, c.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", c.program, err, out)
	}
	c.spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return nil
}

func mac(i int) string     { return fmt.Sprintf("52:54:00:%02x:%02x:%02x", i>>16, i>>8&0xff, i&0xff) }
func address(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&0xff, i&0xff) }
