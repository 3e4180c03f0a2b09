package host

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/virbr/virbr/doctor"
)

// maxChangelog is how much of a package's changelog is read, in bytes. The newest
// entries come first.
const maxChangelog = 1 << 20

// cve matches the numbers of vulnerabilities.
var cve = regexp.MustCompile(`CVE-\d{4}-\d{4,}`)

// dnsmasqPackage asks the package manager for the package of the dnsmasq that is
// installed. One in another place than packages use is of none.
func (s *survey) dnsmasqPackage(ctx context.Context) error {
	path := s.facts.Plan.Dnsmasq.Path
	if !strings.HasPrefix(path, "/usr/sbin/") && !strings.HasPrefix(path, "/sbin/") && !strings.HasPrefix(path, "/usr/bin/") {
		return nil
	}
	for _, read := range []func(context.Context) (doctor.Package, error){debianPackage, rpmPackage} {
		p, err := read(ctx)
		if errors.Is(err, exec.ErrNotFound) {
			continue
		}
		if err != nil || p.Name != "" {
			s.facts.DnsmasqPackage = p
			return err
		}
	}
	return nil
}

// debianPackage asks dpkg. The changelog is a file that some hosts leave out.
func debianPackage(ctx context.Context) (doctor.Package, error) {
	out, err := ask(ctx, "dpkg-query", "-W", "-f", `${db:Status-Status} ${Package} ${Version}\n`, "dnsmasq-base*")
	if err != nil {
		return doctor.Package{}, err
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "installed" {
			continue
		}
		p := doctor.Package{Name: f[1], Version: f[2]}
		if text, err := unpack("/usr/share/doc/" + p.Name + "/changelog.Debian.gz"); err == nil {
			p.Logged, p.Fixes = true, fixes(text)
		}
		return p, nil
	}
	return doctor.Package{}, nil
}

// unpack reads a compressed file.
func unpack(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxChangelog))
	return string(text), err
}

// rpmPackage asks rpm, whose database has the changelog.
func rpmPackage(ctx context.Context) (doctor.Package, error) {
	out, err := ask(ctx, "rpm", "-q", "--queryformat", `%{NAME} %{VERSION}-%{RELEASE}\n`, "dnsmasq")
	f := strings.Fields(out)
	if err != nil || len(f) != 2 {
		return doctor.Package{}, err
	}
	log, err := ask(ctx, "rpm", "-q", "--changelog", "dnsmasq")
	return doctor.Package{Name: f[0], Version: f[1], Logged: err == nil, Fixes: fixes(log)}, nil
}

// fixes lists the vulnerabilities that a changelog names.
func fixes(text string) []string {
	list := cve.FindAllString(text, -1)
	slices.Sort(list)
	return slices.Compact(list)
}

// ask runs a program that answers a question. That it knows nothing, which is an exit
// status, is no error.
func ask(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	if _, no := errors.AsType[*exec.ExitError](err); no && ctx.Err() == nil {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", name, err)
	}
	return out.String(), nil
}
