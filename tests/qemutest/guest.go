package qemutest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Guest is what a virtual machine is made of.
type Guest struct {
	Modules  []string          // kernel modules to load, in order; dependencies come by themselves
	Spare    []string          // modules that are at hand: "load NAME" in Init, or [Load]
	Programs []string          // programs of this machine, by name or path, with their libraries
	Copies   map[string]string // path in the guest (not below /tmp or /run) -> program of this machine, with its libraries
	Files    map[string]string // path in the guest -> text
	// Init is a shell script that runs as root once /proc, /sys, /dev,
	// /run and /tmp are mounted and the modules are loaded. The machine is
	// turned off after it.
	Init string
}

// Memory of a guest, MiB.
const memory = "1024"

// patience bounds a guest that hangs; it measures nothing.
const patience = 5 * time.Minute

// status is the line by which a guest tells the exit status of Init.
const status = "qemutest: exit status "

const prologue = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev
ln -sf dash /bin/sh; mkdir -p /run /tmp /var /root /etc; ln -sf /run /var/run; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp
for m in $(cat /modules/order); do insmod /modules/$m || echo "qemutest: insmod $m failed"; done
dash /init.test </dev/null 2>&1; echo "` + status + `$?"
poweroff -f
`

// Run boots a guest in QEMU and returns what it printed on its console. The
// test fails where the guest does not come up or Init does not end with 0. It
// is skipped where QEMU or the kernel is missing, or fails when REQUIRE_NETNS=1.
func Run(t *testing.T, g Guest) string {
	t.Helper()
	initramfs := filepath.Join(t.TempDir(), "initramfs")
	kernel := Build(t, g, initramfs)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", memory,
		"-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio",
		"-kernel", kernel, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1")
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	err := cmd.Run()
	out := strings.ReplaceAll(console.String(), "\r", "")
	if err != nil || !strings.Contains(out, status+"0\n") {
		t.Fatalf("the guest did not end well (%v):\n%s", err, out)
	}
	return out
}

// Build writes a guest's initramfs to a file and returns the path of the
// kernel to boot it with, for those who start QEMU in another way than [Run].
func Build(t *testing.T, g Guest, path string) (kernelImage string) {
	t.Helper()
	k, err := findKernel()
	if _, noQEMU := exec.LookPath("qemu-system-x86_64"); noQEMU != nil {
		err = errors.Join(err, fmt.Errorf("needs QEMU: %w; install qemu-system-x86", noQEMU))
	}
	if err != nil {
		if os.Getenv("REQUIRE_NETNS") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if err := write(k, g, path); err != nil {
		t.Fatalf("making the initramfs: %v", err)
	}
	return k.image
}

func write(k *kernel, g Guest, path string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	a := newArchive(out)
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/tmp"} {
		a.dir(dir)
	}
	a.once("/bin/busybox")
	a.file("/init", 0o755, []byte(prologue))
	a.file("/init.test", 0o755, []byte(g.Init))
	if err := a.modules(k, g); err != nil {
		return err
	}
	// dash runs the script, for busybox's shell prefers its own programs.
	for _, name := range append([]string{"dash"}, g.Programs...) {
		if err := a.program(name); err != nil {
			return err
		}
	}
	for name, file := range g.Copies {
		a.onceAt(name, file)
		if err := a.libraries(file); err != nil {
			return err
		}
	}
	for name, text := range g.Files {
		a.file(name, 0o644, []byte(text))
	}
	if err := a.close(); err != nil {
		return err
	}
	return out.Close()
}
