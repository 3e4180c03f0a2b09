package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// quote writes a word so that a shell takes it as one.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+=.,:@/%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// operand is a word that is not taken for an option.
func operand(word string) string {
	if strings.HasPrefix(word, "-") {
		return "-- " + quote(word)
	}
	return quote(word)
}

// setSysctl is the command that sets a sysctl. The form with slashes knows
// interfaces that have dots in their names.
func setSysctl(key, value string) string { return "sysctl -w " + quote(key+"="+value) }

// virsh is a command to the network daemon, whichever runs.
func virsh(command, network string) string {
	return "virsh -c network:///system " + command + " " + operand(network)
}

// restart stops and starts a network.
func restart(network string) string {
	return virsh("net-destroy", network) + " && " + virsh("net-start", network)
}

// keeper returns who runs a network: the daemon that has the state, else who
// started it.
func (f *Facts) keeper(n *Network) Keeper {
	switch {
	case f.Daemons.Virbrd.PID != 0:
		return KeeperVirbrd
	case f.Daemons.Holder.PID != 0:
		return KeeperLibvirt
	}
	return n.Started
}

// daemon returns the network daemon that runs; of two it is virbrd.
func (f *Facts) daemon() Process {
	if f.Daemons.Virbrd.PID != 0 {
		return f.Daemons.Virbrd
	}
	return f.Daemons.Holder
}

// repair is the command that has a network's daemon check it: rules and a dnsmasq
// that died come back. A daemon that does not run does that when it starts.
func (f *Facts) repair(n *Network) string {
	switch p := f.daemon(); {
	case p.PID != 0 && p.Unit != "":
		return "systemctl reload " + quote(p.Unit)
	case p.PID != 0:
		return "kill -HUP " + strconv.Itoa(p.PID)
	}
	return f.start(f.keeper(n))
}

// start is the command that starts a network daemon.
func (f *Facts) start(k Keeper) string {
	switch {
	case k == KeeperVirbrd && f.Daemons.Systemd:
		return "systemctl start virbrd.service"
	case k == KeeperVirbrd:
		return "virbrd &"
	case f.Daemons.Systemd:
		return "systemctl start virtnetworkd.service || systemctl start libvirtd.service"
	}
	return "libvirtd -d"
}

// renew is the command that starts a network's daemon anew.
func (f *Facts) renew(n *Network) string {
	switch p := f.daemon(); {
	case p.PID != 0 && p.Unit != "":
		return "systemctl restart " + quote(p.Unit)
	case p.PID != 0:
		return fmt.Sprintf("kill %d; tail --pid=%d -f /dev/null; %s", p.PID, p.PID, f.start(f.keeper(n)))
	}
	return f.start(f.keeper(n))
}

// end is the command that ends a process.
func end(p Process) string {
	switch {
	case p.Unit != "":
		return "systemctl stop " + quote(p.Unit)
	case p.PID != 0:
		return "kill " + strconv.Itoa(p.PID)
	}
	return ""
}

// Edit is the command that changes the definition of a network.
func Edit(network string) string { return virsh("net-edit", network) }

// ForwardTo is the command that forwards a port of the host to a guest.
func ForwardTo(network string, port uint16, proto, guest string) string {
	return fmt.Sprintf("virbr forward add %s %d/%s %s", operand(network), port, proto, quote(guest))
}
