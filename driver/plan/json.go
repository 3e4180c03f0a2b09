package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// names tags each op in JSON. A name is for ever: records that an older
// version wrote are read by newer ones.
var names = map[string]Op{
	"add-bridge":       AddBridge{},
	"del-link":         DelLink{},
	"set-mtu":          SetMTU{},
	"set-bridge":       SetBridge{},
	"set-sysctl":       SetSysctl{},
	"add-address":      AddAddress{},
	"del-address":      DelAddress{},
	"set-up":           SetUp{},
	"set-down":         SetDown{},
	"add-route":        AddRoute{},
	"add-rules":        AddRules{},
	"del-rules":        DelRules{},
	"fill-checksums":   FillChecksums{},
	"unfill-checksums": UnfillChecksums{},
	"set-zone":         SetZone{},
	"unset-zone":       UnsetZone{},
	"write-file":       WriteFile{},
	"start-dnsmasq":    StartDnsmasq{},
	"await-dnsmasq":    AwaitDnsmasq{},
	"signal-dnsmasq":   SignalDnsmasq{},
	"stop-dnsmasq":     StopDnsmasq{},
	"register-dns":     RegisterDNS{},
	"shape-network":    ShapeNetwork{},
	"unshape-network":  UnshapeNetwork{},
	"shape-port":       ShapePort{},
	"unshape-port":     UnshapePort{},
	"set-default-rate": SetDefaultRate{},

	"raise-limit":        RaiseLimit{},
	"drop-libvirt-rules": DropLibvirtRules{},
	"drop-libvirt-queue": DropLibvirtQueue{},
	"drop-rules":         DropRules{},

	"replace-rules":      ReplaceRules{},
	"restore-rules":      RestoreRules{},
	"proxy-neighbour":    ProxyNeighbour{},
	"unproxy-neighbour":  UnproxyNeighbour{},
	"snoop-guests":       SnoopGuests{},
	"unsnoop-guests":     UnsnoopGuests{},
	"route-guest":        RouteGuest{},
	"unroute-guest":      UnrouteGuest{},
	"route-loopback":     RouteLoopback{},
	"unroute-loopback":   UnrouteLoopback{},
	"end-connections":    EndConnections{},
	"end-untranslated":   EndUntranslated{},
	"retract-prefixes":   RetractPrefixes{},
	"hear-routers":       HearRouters{},
	"unhear-routers":     UnhearRouters{},
	"accept-elsewhere":   AcceptElsewhere{},
	"unaccept-elsewhere": UnacceptElsewhere{},
	"accept-beside":      AcceptBeside{},
	"unaccept-beside":    UnacceptBeside{},
}

type tagged struct {
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args"`
}

// MarshalOps writes ops as a JSON array of {"op": name, "args": fields}.
func MarshalOps(ops []Op) ([]byte, error) {
	list := make([]tagged, 0, len(ops))
	for i, op := range ops {
		name, err := nameOf(op)
		if err != nil {
			return nil, fmt.Errorf("writing op %d: %w", i, err)
		}
		args, err := json.Marshal(op)
		if err != nil {
			return nil, fmt.Errorf("writing op %d %q: %w", i, name, err)
		}
		list = append(list, tagged{name, args})
	}
	return json.MarshalIndent(list, "", "  ")
}

func nameOf(op Op) (string, error) {
	for name, sample := range names {
		if reflect.TypeOf(op) == reflect.TypeOf(sample) {
			return name, nil
		}
	}
	return "", fmt.Errorf("%T has no name in JSON", op)
}

// UnmarshalOps reads what [MarshalOps] wrote. An op that this version does not
// know is an error, for leaving it out would leave something behind unseen.
func UnmarshalOps(data []byte) ([]Op, error) {
	var list []tagged
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("reading ops: %w", err)
	}
	ops := make([]Op, 0, len(list))
	for i, t := range list {
		sample, known := names[t.Op]
		if !known {
			return nil, fmt.Errorf("reading op %d: unknown op %q", i, t.Op)
		}
		value := reflect.New(reflect.TypeOf(sample))
		if len(t.Args) > 0 {
			if err := json.Unmarshal(t.Args, value.Interface()); err != nil {
				return nil, fmt.Errorf("reading op %d %q: %w", i, t.Op, err)
			}
		}
		ops = append(ops, value.Elem().Interface().(Op))
	}
	return ops, nil
}
