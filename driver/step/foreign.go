package step

import (
	"github.com/virbr/virbr/firewall/coexist"
)

var foreignOps = []Op{AcceptInForeignTables{}, UnacceptInForeignTables{}, RepairForeignTables{}}

// AcceptInForeignTables puts marked accepting rules for a bridge into the tables of
// others that would drop what its guests send or are sent, at the places that
// their owners document. It is idempotent, and repairs what is missing.
type AcceptInForeignTables struct {
	Bridge  string
	Forward bool            // traffic through the bridge
	Leave   bool            `json:",omitzero"` // guests leave by links of the host, see [Exits]
	Dev     string          `json:",omitzero"` // the only one of these; "": any
	Enter   coexist.Inbound `json:",omitzero"` // what other links have for guests
	All     bool            `json:",omitzero"` // also in tables that have no documented place, or were shut on purpose
	Serve   []Served        // what guests may ask of the host
}

func (o AcceptInForeignTables) kind() kind {
	return kind{tag: "accept-elsewhere", key: "accept " + word(o.Bridge), scope: ScopeGuests}
}

func (o AcceptInForeignTables) String() string { return "firewall of others: accept " + word(o.Bridge) }

// UnacceptInForeignTables removes the rules of AcceptInForeignTables.
type UnacceptInForeignTables struct{ Bridge string }

func (o UnacceptInForeignTables) kind() kind {
	return kind{tag: "unaccept-elsewhere", key: "accept " + word(o.Bridge), scope: ScopeGuests, phase: PhaseRules}
}

func (o UnacceptInForeignTables) String() string {
	return "firewall of others: forget " + word(o.Bridge)
}

// RepairForeignTables puts back what others took away of what AcceptInForeignTables did, for all
// bridges for which it was done.
type RepairForeignTables struct{}

func (RepairForeignTables) kind() kind {
	return kind{tag: "repair-elsewhere", key: "accept", scope: ScopeMoment}
}

func (RepairForeignTables) String() string { return "firewall of others: repair" }

// Served is one service of the host for its guests.
type Served struct {
	Proto string // "tcp" or "udp"
	Port  uint16
}
