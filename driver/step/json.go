package step

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// families holds one op of each type.
var families = [][]Op{
	addressOps, besideOps, checksumOps, connectionOps, dnsmasqOps, elsewhereOps, fileOps, guestOps, libvirtOps, limitOps, linkOps, memberOps,
	loopbackOps, neighbourOps, resolvedOps, routeOps, routerOps, rulesOps, shapeOps, sysctlOps, uplinkOps, zoneOps,
}

type tagged struct {
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args"`
}

// MarshalOps writes ops as a JSON array of {"op": name, "args": fields}.
func MarshalOps(ops []Op) ([]byte, error) {
	list := make([]tagged, 0, len(ops))
	for i, op := range ops {
		args, err := json.Marshal(op)
		if err != nil {
			return nil, fmt.Errorf("writing op %d %q: %w", i, op.kind().tag, err)
		}
		list = append(list, tagged{op.kind().tag, args})
	}
	return json.MarshalIndent(list, "", "  ")
}

// UnmarshalOps reads what [MarshalOps] wrote. An op that this version does not
// know is an error, for leaving it out would leave something behind unseen.
func UnmarshalOps(data []byte) ([]Op, error) {
	var list []tagged
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("reading ops: %w", err)
	}
	byTag := map[string]Op{}
	for _, op := range slices.Concat(families...) {
		byTag[op.kind().tag] = op
	}
	ops := make([]Op, 0, len(list))
	for i, t := range list {
		sample, known := byTag[t.Op]
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
