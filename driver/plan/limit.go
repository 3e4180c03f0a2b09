package plan

import (
	"fmt"
	"strings"

	"github.com/virbr/virbr/dnsmasq"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/xml"
)

// need says what one more network takes of a limit, and how much is to be left
// over for it and for others, who are not ours to know.
type need struct {
	network, spare int64
	what           string
	advice         string // in the place of a sysctl
}

// needs is by LimitKind. A dnsmasq is two processes, one for its lease helper,
// and has some twenty files open; others start at the same time.
var needs = map[step.LimitKind]need{
	step.LimitInotify:   {network: 1, spare: InotifySpare, what: "inotify instance"},
	step.LimitFiles:     {network: 32, spare: 2048, what: "open files"},
	step.LimitProcesses: {network: 3, spare: 512, what: "processes"},
	step.LimitTasks:     {network: 3, spare: 3, what: "processes", advice: "set TasksMax= of virbrd.service, or pids.max, higher (%s, now %d)"},

	step.LimitDescriptors: {network: 3, spare: 3, what: "open files", advice: "set LimitNOFILE= of virbrd.service, or ulimit -n, higher (%s, now %d)"},
}

// share is what the networks of a host take of what cannot be counted, each of
// them, and what others may take.
type share struct{ network, others int64 }

// shares is by LimitKind. A dnsmasq watches the directories of resolv.conf. A
// network is thought to have eight guests: libvirt's usual subnet has room for
// more, few hosts have the memory.
var shares = map[step.LimitKind]share{
	step.LimitWatches:    {network: 4, others: 2048},
	step.LimitNeighbours: {network: 8},
}

// InotifySpare is how many inotify instances a host should have left before a
// network starts. It is no use to look for more.
const InotifySpare = 16

// maxLimit bounds what is written to a sysctl: the largest that a count of
// processes may be (PID_MAX_LIMIT), far more than anybody needs of the others.
const maxLimit = 1 << 22

// Room returns the steps that make room on the host for one more network, to be
// done before all others, or an *[Error] that says what to set where one more
// network would not run and the limit is not ours to raise. Without Fixed
// limits the step itself says so when it fails. Most hosts need no step.
func Room(def *xml.Network, facts step.Facts, limits []step.Limit) ([]step.Step, error) {
	if !dnsmasq.Wanted(def) {
		return nil, nil
	}
	var steps []step.Step
	for _, l := range limits {
		if sh, known := shares[l.Kind]; known {
			steps = append(steps, grow(l, sh, facts)...)
			continue
		}
		n, known := needs[l.Kind]
		if !known || l.Free >= n.spare {
			continue
		}
		text := refusal(l, def.Name, n)
		if n.advice != "" || l.Fixed {
			if l.Free < n.network {
				return nil, refuse(KindUnsupported, "%s", text)
			}
			continue
		}
		steps = append(steps, step.Step{Do: step.RaiseLimit{Key: l.Key, Value: higher(l)}, Tolerate: l.Free >= n.network, Fail: text})
	}
	return steps, nil
}

// higher is what a limit is raised to: so much that it is not done for every
// network.
func higher(l step.Limit) int64 { return min(max(2*l.Value, l.Value+256), max(maxLimit, l.Value)) }

// refusal says what a network lacks, and how to get it.
func refusal(l step.Limit, network string, n need) string {
	text := fmt.Sprintf("network '%s' needs %d more %s, and the host allows %d: ", network, n.network, n.what, max(l.Free, 0))
	if n.advice != "" {
		return text + fmt.Sprintf(n.advice, l.Key, l.Value)
	}
	return text + fmt.Sprintf("set the sysctl %s to %d (now %d)", strings.ReplaceAll(l.Key, "/", "."), higher(l), l.Value)
}

// grow makes a limit large enough for the bridges that there are. Too small a one
// stops no network from starting, but its guests from being reached, or its
// dnsmasq from seeing that resolv.conf changes.
func grow(l step.Limit, sh share, facts step.Facts) []step.Step {
	bridges := int64(1)
	for _, link := range facts.Links {
		if link.Kind == "bridge" {
			bridges++
		}
	}
	if l.Fixed || bridges*sh.network+sh.others <= l.Value {
		return nil
	}
	return []step.Step{{Do: step.RaiseLimit{Key: l.Key, Value: higher(l)}, Tolerate: true}}
}
