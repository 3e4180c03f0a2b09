package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// families holds one op of each type.
var families = [][]Op{
	addressOps, libvirtChainOps, checksumOps, connectionOps, dnsmasqOps, foreignOps, fileOps, guestOps, libvirtOps, limitOps, linkOps, memberOps,
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
	return json.Marshal(list)
}

// UnmarshalOps reads what [MarshalOps] wrote. An op that this version does not
// know is an error, for leaving it out would leave something behind unseen.
func UnmarshalOps(data []byte) ([]Op, error) { return newReader().ops(data) }

// reader reads ops.
type reader struct{ byTag map[string]reflect.Type }

func newReader() reader {
	r := reader{map[string]reflect.Type{}}
	for _, op := range slices.Concat(families...) {
		r.byTag[op.kind().tag] = reflect.TypeOf(op)
	}
	return r
}

func (r reader) ops(data []byte) ([]Op, error) {
	var list []tagged
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("reading ops: %w", err)
	}
	ops := make([]Op, 0, len(list))
	for i, t := range list {
		made, known := r.byTag[t.Op]
		if !known {
			return nil, fmt.Errorf("reading op %d: unknown op %q", i, t.Op)
		}
		value := reflect.New(made)
		if len(t.Args) > 0 {
			if err := json.Unmarshal(t.Args, value.Interface()); err != nil {
				return nil, fmt.Errorf("reading op %d %q: %w", i, t.Op, err)
			}
		}
		ops = append(ops, value.Elem().Interface().(Op))
	}
	return ops, nil
}

// op reads a list of one op, or of none.
func (r reader) op(data json.RawMessage) (Op, error) {
	if data == nil {
		return nil, nil
	}
	ops, err := r.ops(data)
	switch {
	case err != nil:
		return nil, err
	case len(ops) > 1:
		return nil, fmt.Errorf("%d ops, want one at most", len(ops))
	case len(ops) == 0:
		return nil, nil
	}
	return ops[0], nil
}

// Steps are steps that survive in JSON: what each does and how to undo it. How a failure
// counts and is worded is for who does them, and is not kept.
type Steps []Step

// stepFile is a step in JSON. Each of the lists has one op or none.
type stepFile struct {
	Do   json.RawMessage `json:"do,omitempty"`
	Undo json.RawMessage `json:"undo,omitempty"`
}

// MarshalJSON writes steps.
func (steps Steps) MarshalJSON() ([]byte, error) {
	list := make([]stepFile, len(steps))
	for i, s := range steps {
		var err error
		if s.Do != nil {
			list[i].Do, err = MarshalOps([]Op{s.Do})
		}
		if s.Undo != nil && err == nil {
			list[i].Undo, err = MarshalOps([]Op{s.Undo})
		}
		if err != nil {
			return nil, err
		}
	}
	return json.Marshal(list)
}

// UnmarshalJSON reads what MarshalJSON wrote. A step that does nothing and undoes
// nothing is an error.
func (steps *Steps) UnmarshalJSON(data []byte) error {
	var list []stepFile
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("reading steps: %w", err)
	}
	r := newReader()
	*steps = nil
	for i, file := range list {
		do, err := r.op(file.Do)
		undo, undoErr := r.op(file.Undo)
		if err == nil {
			err = undoErr
		}
		if err == nil && do == nil && undo == nil {
			err = errors.New("neither an op nor an undo")
		}
		if err != nil {
			return fmt.Errorf("reading step %d: %w", i, err)
		}
		*steps = append(*steps, Step{Do: do, Undo: undo})
	}
	return nil
}
