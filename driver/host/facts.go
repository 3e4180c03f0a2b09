package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/virbr/virbr/driver/step"
)

// Facts reads what plans need to know: the links and the main table of
// each family. A dnsmasq that cannot be asked for its version is
// reported without one; the reason is logged.
func (h *Host) Facts(ctx context.Context) (step.Facts, error) {
	if err := ctx.Err(); err != nil {
		return step.Facts{}, err
	}
	links, names, err := h.readLinks(ctx)
	if err != nil {
		return step.Facts{}, err
	}
	facts := step.Facts{Links: links, AcceptRA: map[string]int{}, VFs: h.sysfs.virtualFunctions(links)}
	if _, err := os.Stat(path.Join(sysctlRoot, "net/ipv6")); errors.Is(err, fs.ErrNotExist) {
		facts.NoIPv6 = true
	}
	if facts.Routes, err = h.routes(ctx, names, facts.NoIPv6); err != nil {
		return step.Facts{}, err
	}
	acceptRA(facts)
	facts.Dnsmasq, err = h.dnsmasq.facts(ctx)
	if err != nil {
		h.log.WarnContext(ctx, "dnsmasq does not tell its version; taken for a new one", "err", err)
	}
	return facts, ctx.Err()
}

// routes returns the main tables of both families.
func (h *Host) routes(ctx context.Context, names map[int]string, noIPv6 bool) ([]step.Route, error) {
	var v6 []route
	var err error
	if !noIPv6 {
		if v6, err = h.dumpRoutes(ctx, unix.AF_INET6); err != nil {
			return nil, err
		}
	}
	list, err := h.routes4(ctx, names, len(v6))
	if err != nil {
		return nil, err
	}
	advertised := learned(v6)
	for _, r := range v6 {
		link := names[r.link]
		fromRA := r.protocol == unix.RTPROT_RA || advertised[advertisedRoute{r.dest, link}]
		list = append(list, step.Route{Dest: r.dest, Link: link, Gateway: r.gateway, FromRA: fromRA})
	}
	return list, nil
}

// acceptRA fills in the setting of the links that live on advertised routes. A
// link that is gone by now has none.
func acceptRA(facts step.Facts) {
	if facts.NoIPv6 {
		return
	}
	want := []string{"all"}
	for _, r := range facts.Routes {
		if r.FromRA && checkLink(r.Link) == nil {
			want = append(want, r.Link)
		}
	}
	for _, name := range want {
		if n, err := readSysctl(path.Join("net/ipv6/conf", name, "accept_ra")); err == nil {
			facts.AcceptRA[name] = n
		}
	}
}
