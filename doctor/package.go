package doctor

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Package is what the distribution's package manager says of the package that a
// program is of.
type Package struct {
	Name    string // "": none, or not known
	Version string // with the distribution's revision
	Logged  bool   // its changelog is installed
	Fixes   []string
}

// helperCVE lets a guest run code, by a DHCPv6 packet, in the process of dnsmasq's
// that calls the lease helper: as root, where libvirt's driver started it.
const helperCVE = "CVE-2026-4892"

// patched are Debian's versions since which a release has the fix, by what comes before their last
// number. Source: the changelogs of these packages.
var patched = map[string]int{"2.85-1+deb11u": 2, "2.90-4~deb12u": 2, "2.91-1+deb13u": 1}

// upstream matches the version of dnsmasq itself, and what its point releases add.
var upstream = regexp.MustCompile(`^(?:\d+:)?(\d+)\.(\d+)(?:rel|\.)?(\d*)`)

// lacksFix reports whether it is known that a package of dnsmasq lacks the fix of
// helperCVE. What --version says is not enough to know: distributions mend what they
// ship.
func (p Package) lacksFix() bool {
	m := upstream.FindStringSubmatch(p.Version)
	if m == nil || slices.Contains(p.Fixes, helperCVE) {
		return false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	point, _ := strconv.Atoi(m[3])
	if major > 2 || major == 2 && (minor > 92 || minor == 92 && point >= 2) { // 2.92rel2
		return false
	}
	digits := strings.TrimRight(p.Version, "0123456789")
	if since, ok := patched[digits]; ok {
		n, err := strconv.Atoi(p.Version[len(digits):])
		return err == nil && n < since
	}
	return p.Logged
}

// unpatched tells of a dnsmasq that guests can break into.
func (w *walker) unpatched() {
	p := w.f.DnsmasqPackage
	if !p.lacksFix() {
		return
	}
	f := Finding{
		Text:     "dnsmasq lacks the fix of " + helperCVE + ": by one DHCPv6 packet a guest runs code on the host",
		Evidence: []string{"package " + p.Name + " is version " + p.Version},
		Mend:     "apt-get install --only-upgrade dnsmasq-base || dnf upgrade dnsmasq || zypper update dnsmasq",
		Note:     "networks that run go on with the old one until they are stopped and started",
	}
	w.tell(dnsmasqUnpatched, f)
}
