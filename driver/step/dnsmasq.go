package step

import (
	"fmt"
)

var dnsmasqOps = []Op{StartDnsmasq{}, AwaitDnsmasq{}, SignalDnsmasq{}, StopDnsmasq{}}

// StartDnsmasq starts dnsmasq with a configuration file and waits until it
// serves; its environment holds VIR_BRIDGE_NAME=Bridge, and what the
// lease helper inherits from it.
type StartDnsmasq struct {
	Conf, PidFile, Bridge string

	// Wide: its configuration has lines that are not ours, which may be about
	// other links than the bridge.
	Wide bool

	// Aside: it is on its way when the op is done, and an AwaitDnsmasq follows.
	Aside bool `json:",omitzero"`
}

func (o StartDnsmasq) kind() kind {
	return kind{tag: "start-dnsmasq", key: "dnsmasq " + word(o.PidFile), scope: ScopeService, once: true}
}

func (o StartDnsmasq) String() string {
	return fmt.Sprintf("dnsmasq start %s conf %s pid %s", word(o.Bridge), word(o.Conf), word(o.PidFile))
}

// AwaitDnsmasq waits until the dnsmasq of a pid file serves that was started
// Aside, and says why if it does not.
type AwaitDnsmasq struct{ PidFile string }

func (o AwaitDnsmasq) kind() kind {
	return kind{tag: "await-dnsmasq", key: "dnsmasq await " + word(o.PidFile), scope: ScopeService, once: true}
}

func (o AwaitDnsmasq) String() string { return "dnsmasq await " + word(o.PidFile) }

// SignalDnsmasq asks the dnsmasq of a pid file to leave (SIGTERM) and does not
// wait for it; StopDnsmasq does, later. One that is gone is no error.
type SignalDnsmasq struct{ PidFile string }

func (o SignalDnsmasq) kind() kind {
	return kind{tag: "signal-dnsmasq", key: "dnsmasq signal " + word(o.PidFile), scope: ScopeService}
}

func (o SignalDnsmasq) String() string {
	return "dnsmasq signal TERM " + word(o.PidFile)
}

// StopDnsmasq ends the dnsmasq of a pid file: SIGTERM, and SIGKILL if it does not
// leave. Where the pid file does not lead to it, it is looked for.
type StopDnsmasq struct{ PidFile string }

func (o StopDnsmasq) kind() kind {
	return kind{tag: "stop-dnsmasq", key: "dnsmasq " + word(o.PidFile), scope: ScopeService, phase: PhaseDnsmasq}
}

func (o StopDnsmasq) String() string { return "dnsmasq stop " + word(o.PidFile) }
