package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

// theirConf is a firewall as /etc/nftables.conf has it: closed but for what it
// names. `systemctl restart nftables` is `nft flush ruleset`, then `nft -f` of it.
const theirConf = `flush ruleset
table inet filter {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		iifname "lo" accept
		tcp dport 22 accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
	}
}
`

// TestHealing: whatever others do to our rules, or to the accepts of ours in
// their own, the ruleset is as it was soon after, and the log says who did it.
func TestHealing(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		newOutside(t)
		conf := filepath.Join(t.TempDir(), "nftables.conf")
		write(t, conf, theirConf)
		run(t, "nft", "-f", conf)
		d := startVirbrd(t)
		d.up("one", forwardNetwork("one", "br-one", "91"))
		d.up("two", forwardNetwork("two", "br-two", "92"))
		mustVirbr(t, "forward", "add", "one", "8080:80", "10.91.0.9")
		mustVirbr(t, "forward", "add", "one", "9000-9031", "fd00:91::9")
		mustVirbr(t, "address", "add", "two", "203.0.113.8", "10.92.0.9", "--stateless")
		before := ruleset(t)
		for _, table := range []string{"inet virbr", "inet filter"} {
			if len(before[table]) == 0 {
				t.Fatalf("no table %s: nothing is tested here", table)
			}
		}
		if accepts := ourAccepts(t); len(accepts) == 0 {
			t.Fatal("nothing is accepted in the other table: nothing is tested here")
		}
		damages := []struct{ name, nft string }{
			{"nothing of the ruleset is left", "flush ruleset"},
			{"the other's service is restarted", ""},
			{"our table is gone", "delete table inet virbr"},
			{"our table is empty", "flush table inet virbr"},
			{"a base chain has no rules", "flush chain inet virbr forward"},
			{"a base chain has a rule more", "insert rule inet virbr forward counter drop"},
			{"a base chain is gone", "delete chain inet virbr postrouting"},
			{"a network's chain is gone", "delete element inet virbr enter { br-one }; delete chain inet virbr enter_br-one"},
			{"a network's chain has another rule", "insert rule inet virbr leave_br-two drop"},
			{"a network leads nowhere", "delete element inet virbr leave { br-one }"},
			{"a map is empty", "flush map inet virbr any4"},
			{"a map is gone", "flush chain inet virbr forward; delete map inet virbr enter"},
			{"our accepts are gone", "accepts"},
		}
		if len(before["ip mangle"]) > 0 { // a kernel without act_csum, with the CHECKSUM target
			damages = append(damages, []struct{ name, nft string }{
				{"no checksums are filled in", "flush chain ip mangle VIRBR_DHCP"},
				{"nothing leads to the checksums", "flush chain ip mangle POSTROUTING"},
				{"the checksums' table is gone", "delete table ip mangle"},
			}...)
		}
		for _, damage := range damages {
			want := before
			switch damage.nft {
			case "":
				run(t, "nft", "flush", "ruleset")
				run(t, "nft", "-f", conf)
			case "flush ruleset":
				run(t, "nft", damage.nft)
				want = map[string][]string{"inet virbr": before["inet virbr"]}
				if own := before["ip mangle"]; own != nil {
					want["ip mangle"] = own
				}
			case "accepts":
				run(t, "nft", deletions(t))
			default:
				run(t, "nft", damage.nft)
			}
			netnstest.Wait(t, "after "+damage.name+" all is as before", func() error {
				if diff := cmp.Diff(want, ruleset(t)); diff != "" {
					return fmt.Errorf("-want +got:\n%s", diff)
				}
				return nil
			})
			if damage.nft == "flush ruleset" {
				run(t, "nft", "-f", conf) // for what comes
			}
		}
		if log := d.log.String(); !strings.Contains(log, "firewall rules restored") || !strings.Contains(log, "by=\"nft (pid ") {
			t.Errorf("the log does not say who did it:\n%s", log)
		}
		d.virsh("net-destroy", "one")
		run(t, "nft", "flush", "ruleset")
		netnstest.Wait(t, "only the network that runs has rules", func() error {
			text := run(t, "nft", "list", "ruleset")
			if !strings.Contains(text, "br-two") || strings.Contains(text, "br-one") {
				return fmt.Errorf("rules are\n%s", text)
			}
			return nil
		})
		d.virsh("net-destroy", "two")
		if text := run(t, "nft", "list", "ruleset"); text != "" {
			t.Errorf("left:\n%s", text)
		}
	})
}

// ruleset returns the rules of each table, by `nft -j`, without handles and
// counters. Rules are in the order of their chain; chains and elements have none.
func ruleset(t *testing.T) map[string][]string {
	t.Helper()
	var doc struct {
		Nftables []map[string]map[string]any `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(run(t, "nft", "-j", "list", "ruleset")), &doc); err != nil {
		t.Fatal(err)
	}
	tables := map[string][]string{}
	for _, entry := range doc.Nftables {
		for kind, object := range entry {
			if kind == "metainfo" {
				continue
			}
			table := fmt.Sprint(object["family"], " ", object["table"])
			if kind == "table" {
				table = fmt.Sprint(object["family"], " ", object["name"])
			}
			chain := fmt.Sprint(object["chain"])
			text, err := json.Marshal(normal(object))
			if err != nil {
				t.Fatal(err)
			}
			line := kind + " " + string(text)
			if kind == "rule" { // sorted by chain, in its order there
				line = fmt.Sprintf("rule of %s %04d %s", chain, len(tables[table]), text)
			}
			tables[table] = append(tables[table], line)
		}
	}
	for table, lines := range tables {
		tables[table] = ordered(lines)
	}
	return tables
}

// ordered sorts lines; the numbers of rules, which keep these in their order, are
// left out then.
func ordered(lines []string) []string {
	slices.Sort(lines)
	for i, line := range lines {
		if rest, rule := strings.CutPrefix(line, "rule of "); rule {
			chain, rest, _ := strings.Cut(rest, " ")
			_, text, _ := strings.Cut(rest, " ")
			lines[i] = "rule of " + chain + " " + text
		}
	}
	return lines
}

// normal returns a value of nft's JSON without what differs from time to time.
func normal(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			switch key {
			case "handle", "packets", "bytes":
			case "elem":
				out[key] = elements(value)
			default:
				out[key] = normal(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = normal(v[i])
		}
		return out
	}
	return value
}

// elements returns those of a set, sorted.
func elements(value any) any {
	list, ok := value.([]any)
	if !ok {
		return normal(value)
	}
	var lines []string
	for _, e := range list {
		text, err := json.Marshal(normal(e))
		if err != nil {
			return err.Error()
		}
		lines = append(lines, string(text))
	}
	slices.Sort(lines)
	return lines
}

// accepted is a rule of ours in the table of somebody else.
type accepted struct {
	chain  string
	handle float64
}

func ourAccepts(t *testing.T) []accepted {
	t.Helper()
	var doc struct {
		Nftables []struct {
			Rule *struct {
				Table, Chain, Comment string
				Handle                float64
			} `json:"rule"`
		} `json:"nftables"`
	}
	if err := json.Unmarshal([]byte(run(t, "nft", "-j", "list", "table", "inet", "filter")), &doc); err != nil {
		t.Fatal(err)
	}
	var list []accepted
	for _, entry := range doc.Nftables {
		if r := entry.Rule; r != nil && strings.HasPrefix(r.Comment, "virbr") {
			list = append(list, accepted{r.Chain, r.Handle})
		}
	}
	return list
}

// deletions returns what deletes our accepts.
func deletions(t *testing.T) string {
	t.Helper()
	var list []string
	for _, a := range ourAccepts(t) {
		list = append(list, fmt.Sprintf("delete rule inet filter %s handle %.0f", a.chain, a.handle))
	}
	return strings.Join(list, "; ")
}
