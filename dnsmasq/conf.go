package dnsmasq

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/virbr/virbr/xml"
)

// maxLine is what dnsmasq reads of a line, in bytes. It takes the rest for a
// line of its own, so a longer one could smuggle in a directive.
const maxLine = 1023

// lines collects the text of a file, and the first line that is too long.
type lines struct {
	text strings.Builder
	err  error
}

func (l *lines) add(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if l.err == nil && len(line) > maxLine {
		l.err = unsupported("a line of dnsmasq's files would be longer than %d bytes: %.40q...", maxLine, line)
	}
	l.text.WriteString(line + "\n")
}

func (l *lines) done() (string, error) {
	if l.err != nil {
		return "", l.err
	}
	return l.text.String(), nil
}

// conf writes the configuration, in the order of libvirt's
// networkDnsmasqConfContents. All values have passed [check].
func conf(def *xml.Network, dhcp subnets, dirs Dirs) (string, error) {
	var l lines
	l.header(def.Name)
	l.add("strict-order")
	l.upstream(def)
	if err := l.zones(def); err != nil {
		return "", err
	}
	if dirs.Run != "" {
		l.add("pid-file=%s", quotePath(dirs.PidFile(def.Name)))
	}
	l.add("except-interface=lo")
	l.add("bind-dynamic")
	l.add("interface=%s", def.Bridge.Name)
	if def.Forward.Mode == xml.ForwardNone {
		l.add("dhcp-option=3") // no router
		l.add("no-resolv")
		l.add("ra-param=*,0,0") // a router lifetime of 0 (RFC 4861, 4.2): not a default router
	}
	l.pace(def)
	l.records(def)
	l.tftp(def)
	if err := l.dhcp(dhcp, leased(def, dhcp)); err != nil {
		return "", err
	}
	if dhcp.any() {
		l.add("dhcp-hostsfile=%s", quotePath(dirs.Hosts(def.Name)))
	}
	if numbered(def, dhcp) {
		l.add("dhcp-hostsdir=%s", quotePath(dirs.Numbered(def.Bridge.Name)))
	}
	if def.DNS.Enable != xml.No {
		l.add("addn-hosts=%s", quotePath(dirs.AddnHosts(def.Name)))
	}
	if def.MTU > 0 {
		l.add("dhcp-option=option:mtu,%d", def.MTU)
	}
	l.routerAdvertisements(def, dhcp)
	l.advertise(def, dhcp)
	for _, option := range def.DnsmasqOptions {
		l.add("%s", option)
	}
	return l.done()
}

func (l *lines) header(name string) {
	l.add("## Written by virbr, and written again whenever the network starts or changes:")
	l.add("## edits made here do not last. Change the definition of the network with")
	l.add("##     virsh net-edit %s", name)
	l.add("## or with another program that speaks libvirt's network API.")
	l.add("##")
	l.add("## Configuration of dnsmasq for one network.")
}

// upstream writes where queries go that dnsmasq cannot answer, and the network's
// own domain.
func (l *lines) upstream(def *xml.Network) {
	if def.DNS.Enable == xml.No {
		l.add("port=0")
	} else {
		l.forwarders(def.DNS.Forwarders)
	}
	if def.Domain.Name == "" {
		return
	}
	if def.Domain.LocalOnly == xml.Yes {
		l.add("local=/%s/", def.Domain.Name)
	}
	l.add("domain=%s", def.Domain.Name)
	l.add("expand-hosts")
}

func (l *lines) forwarders(list []xml.Forwarder) {
	noResolv := false
	for _, f := range list {
		switch {
		case f.Domain == "":
			noResolv = true
			l.add("server=%s", f.Addr)
		case f.Addr.IsValid():
			l.add("server=/%s/%s", f.Domain, f.Addr)
		default:
			l.add("server=/%s/#", f.Domain) // the usual upstream servers
		}
	}
	if noResolv {
		l.add("no-resolv")
	}
}

// zones writes what is never asked upstream: reverse zones, plain names.
func (l *lines) zones(def *xml.Network) error {
	if def.DNS.Enable == xml.No {
		return nil
	}
	for i := range def.IPs {
		ip := &def.IPs[i]
		if ip.LocalPtr != xml.Yes || !ip.Address.IsValid() {
			continue
		}
		zone, err := reverseZone(ip, def.Bridge.Name)
		if err != nil {
			return err
		}
		l.add("local=/%s/", zone)
	}
	if def.DNS.ForwardPlainNames == xml.No {
		l.add("domain-needed")
		l.add("local=//")
	}
	return nil
}

func (l *lines) records(def *xml.Network) {
	if def.DNS.Enable == xml.No {
		return
	}
	for _, txt := range def.DNS.TXT {
		l.add("txt-record=%s,%s", txt.Name, textValue(txt.Value))
	}
	for _, srv := range def.DNS.SRV {
		l.add("srv-host=%s", srvHost(srv))
	}
}

// srvHost returns the value of a srv-host directive (RFC 2782). Numbers stand
// in fixed places, so one that is given forces those before it.
func srvHost(srv xml.SRV) string {
	text := "_" + srv.Service + "._" + srv.Protocol
	if srv.Domain != "" {
		text += "." + srv.Domain
	}
	if srv.Target == "" || srv.Target == "." {
		return text
	}
	text += "," + srv.Target
	if srv.Port == 0 && srv.Priority == 0 && srv.Weight == 0 {
		return text
	}
	text += "," + strconv.Itoa(max(int(srv.Port), 1))
	if srv.Priority != 0 || srv.Weight != 0 {
		text += "," + strconv.Itoa(int(srv.Priority))
	}
	if srv.Weight != 0 {
		text += "," + strconv.Itoa(int(srv.Weight))
	}
	return text
}

func (l *lines) tftp(def *xml.Network) {
	enabled := false
	for i := range def.IPs {
		ip := &def.IPs[i]
		if ip.TFTPRoot == "" || ip.Is6() {
			continue
		}
		if !enabled {
			l.add("enable-tftp")
			enabled = true
		}
		l.add("tftp-root=%s", quoteField(strings.TrimSpace(ip.TFTPRoot)))
	}
}

// routerAdvertisements writes enable-ra where there is DHCPv6; dnsmasq then
// answers for the subnet that has it. Else each IPv6 subnet is advertised for
// stateless configuration (RFC 4862).
func (l *lines) routerAdvertisements(def *xml.Network, dhcp subnets) {
	if dhcp.v6 != nil {
		l.add("enable-ra")
		return
	}
	for i := range def.IPs {
		if ip := &def.IPs[i]; ip.Is6() {
			l.add("dhcp-range=%s,ra-only", ip.Address)
		}
	}
}
