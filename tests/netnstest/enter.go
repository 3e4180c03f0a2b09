package netnstest

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// privateDirs are empty and private inside the namespaces.
var privateDirs = []string{"/run", "/etc/libvirt", "/var/lib/libvirt", "/var/lib/virbr", "/etc/virbr"}

// ownDirs, of these, are where virbrd keeps what it chose, and where people keep what it is to
// do. They are made, empty, where they are not there: there is nothing to mount on
// else, and daemons would share them.
var ownDirs = []string{"/var/lib/virbr", "/etc/virbr"}

// enter finishes the namespaces that the process was started in.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mounting /sys: %w", err)
	}
	resolv, target := readResolv()
	for _, dir := range ownDirs {
		_ = os.Mkdir(dir, 0o755) // without root there may be no such place, for virbrd neither
	}
	for _, dir := range privateDirs {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("mounting a tmpfs on %s: %w", dir, err)
		}
	}
	if err := keepResolv(resolv, target); err != nil {
		return err
	}
	if err := writableSysctls(); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("looking up lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	return nil
}

// readResolv reads /etc/resolv.conf and tells where it really is.
func readResolv() ([]byte, string) {
	target, err := filepath.EvalSymlinks("/etc/resolv.conf")
	if err != nil {
		return nil, ""
	}
	data, _ := os.ReadFile(target)
	return data, target
}

// keepResolv writes resolv.conf again where a private directory hides it:
// dnsmasq does not start without one.
func keepResolv(data []byte, target string) error {
	if target == "" {
		return nil
	}
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, data, 0o644)
}

// writableSysctls mounts /proc again where a container has it read-only.
func writableSysctls() error {
	const probe = "/proc/sys/net/ipv4/ip_forward"
	f, err := os.OpenFile(probe, os.O_WRONLY, 0)
	if err == nil {
		return f.Close()
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc with writable sysctls: %w", err)
	}
	return nil
}
