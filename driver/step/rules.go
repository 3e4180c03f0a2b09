package step

import (
	"fmt"
	"strings"

	"github.com/virbr/virbr/firewall"
)

var rulesOps = []Op{AddRules{}, DelRules{}, ReplaceRules{}, RestoreRules{}, DropRules{}}

// AddRules installs a network's firewall rules in one batch, making the table
// and its base chains where they are missing, and replacing what an earlier
// set for the same bridge left.
type AddRules struct{ Rules *firewall.Network }

func (o AddRules) kind() kind {
	return kind{tag: "add-rules", key: "rules " + word(bridgeOf(o.Rules)), scope: ScopeFirewall}
}

func (o AddRules) String() string {
	if o.Rules == nil {
		return "firewall install nothing"
	}
	names := make([]string, len(o.Rules.Chains))
	for i, c := range o.Rules.Chains {
		names[i] = word(c.Name)
	}
	if o.Rules.Guard != nil {
		names = append(names, "guard")
	}
	return "firewall install " + word(o.Rules.Bridge) + " (" + strings.Join(names, " ") + ")"
}

// DelRules removes the firewall rules of a bridge; missing ones are no error.
type DelRules struct{ Bridge string }

func (o DelRules) kind() kind {
	return kind{tag: "del-rules", key: "rules " + word(o.Bridge), scope: ScopeFirewall, phase: PhaseRules}
}

func (o DelRules) String() string { return "firewall remove " + word(o.Bridge) }

// ReplaceRules makes the firewall rules of a bridge, which are those of From,
// those of To. What it costs depends on what differs. Where the kernel has
// others, it does what AddRules does.
type ReplaceRules struct{ From, To *firewall.Network }

func (o ReplaceRules) kind() kind {
	return kind{tag: "replace-rules", key: "rules " + word(bridgeOf(o.To)), scope: ScopeFirewall}
}

func (o ReplaceRules) String() string {
	if o.To == nil {
		return "firewall replace to nothing"
	}
	return "firewall replace " + word(o.To.Bridge)
}

// RestoreRules puts in the rules of several networks in one batch: somebody else
// took them away. Checksums are the bridges of FillChecksums, as far as that is
// done by rules.
type RestoreRules struct {
	Rules     []*firewall.Network
	Checksums []string `json:",omitempty"`
}

func (RestoreRules) kind() kind {
	return kind{tag: "restore-rules", key: "rules", scope: ScopeFirewall}
}

func (o RestoreRules) String() string {
	return fmt.Sprintf("firewall restore %d networks", len(o.Rules))
}

// DropRules removes all firewall rules of ours, of whatever networks, in one
// batch. Missing ones are no error.
type DropRules struct{}

func (DropRules) kind() kind { return kind{tag: "drop-rules", key: "rules", scope: ScopeFirewall} }

func (DropRules) String() string { return "firewall remove all of table inet virbr" }

func bridgeOf(n *firewall.Network) string {
	if n == nil {
		return ""
	}
	return n.Bridge
}
