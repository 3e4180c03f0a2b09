package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/virbr/virbr/driver/step"
)

// probePatience is how long dnsmasq may take to print its version.
const probePatience = 10 * time.Second

// sbin is where dnsmasq is looked for when PATH, which may be a user's, does
// not lead to it.
const sbin = "/usr/local/sbin:/usr/sbin:/sbin"

// dnsmasqProbe knows the installed dnsmasq. The program is asked for its
// version once for each file it has been: a start of a network starts no
// second process for that. Where it does not say, that is told once.
type dnsmasqProbe struct {
	mu    sync.Mutex // guards what follows
	file  fs.FileInfo
	known step.DnsmasqFacts
}

// facts returns the dnsmasq that is installed now; a zero value: none. With an
// error only its path is known.
func (p *dnsmasqProbe) facts(ctx context.Context) (step.DnsmasqFacts, error) {
	path, file := findDnsmasq()
	if path == "" {
		return step.DnsmasqFacts{}, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known.Path == path && os.SameFile(p.file, file) && p.file.Size() == file.Size() && p.file.ModTime().Equal(file.ModTime()) {
		return p.known, nil
	}
	facts := step.DnsmasqFacts{Path: path}
	out, err := versionText(ctx, path)
	if err == nil {
		facts.Major, facts.Minor, err = parseVersion(out)
	}
	if ctx.Err() == nil {
		p.known, p.file = facts, file
	}
	if err != nil {
		return facts, fmt.Errorf("asking %q for its version: %w", path, err)
	}
	return facts, nil
}

// findDnsmasq returns the path of dnsmasq and its file; "": there is none.
func findDnsmasq() (string, fs.FileInfo) {
	path, err := exec.LookPath("dnsmasq")
	if err != nil || !filepath.IsAbs(path) {
		path = ""
		for _, dir := range filepath.SplitList(sbin) {
			if found, err := exec.LookPath(filepath.Join(dir, "dnsmasq")); err == nil {
				path = found
				break
			}
		}
	}
	if path == "" {
		return "", nil
	}
	file, err := os.Stat(path)
	if err != nil {
		return "", nil
	}
	return path, file
}

func versionText(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = []string{"LC_ALL=C"}
	out, err := capture(cmd, &cmd.Stdout)
	if err != nil {
		return "", fmt.Errorf("--version: %w", err)
	}
	return out, nil
}

// version matches "Dnsmasq version 2.90  Copyright ...", and what others make of it,
// as Pi-hole's "Dnsmasq version pi-hole-v2.90+1".
var version = regexp.MustCompile(`(?im)^dnsmasq version (?:[a-z-]*v)?(\d{1,4})\.(\d{1,4})`)

func parseVersion(out string) (major, minor int, err error) {
	m := version.FindStringSubmatch(out)
	if m == nil {
		return 0, 0, fmt.Errorf("unexpected answer %.80q: %w", out, errors.ErrUnsupported)
	}
	major, _ = strconv.Atoi(m[1])
	minor, _ = strconv.Atoi(m[2])
	return major, minor, nil
}

// killGroup has a command's context end it with all that it started, unless
// that went its own way.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
