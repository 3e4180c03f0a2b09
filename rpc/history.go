package rpc

import (
	"bytes"
	"context"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// revisionMemory is what reading one definition takes: a document of the largest size,
// its file and the reply.
const revisionMemory = 4 * (4 << 20)

// actor is who makes the call.
func (rq *call) actor() driver.Actor {
	id := rq.client.caller()
	a := driver.Actor{Call: rq.procedure.forbid, Connection: rq.client}
	if id.UID != nil && *id.UID <= math.MaxUint32 {
		uid := uint32(*id.UID)
		a.UID = &uid
	}
	if id.PID != nil && *id.PID > 0 && *id.PID <= math.MaxInt32 {
		a.PID = int32(*id.PID)
		name, _ := os.ReadFile("/proc/" + strconv.Itoa(int(a.PID)) + "/comm") // it may be gone
		a.Program = strings.ToValidUTF8(string(bytes.TrimSpace(name)), "?")
	}
	return a
}

func (s *Server) history(ctx context.Context, rq *call, a proto.String) (wire.Message, error) {
	ref, list, err := s.cfg.Networks.History(ctx, a.Value)
	if err != nil {
		return nil, err
	}
	if err := s.allowed(ctx, rq, objectNetwork, "read", &ref, nil); err != nil {
		return nil, err
	}
	result := proto.Revisions{Network: networkOf(ref)}
	for _, r := range list[max(0, len(list)-proto.MaxRevisions):] {
		made := proto.Revision{Number: int32(r.Number), Network: r.Network, Running: r.Running, UID: proto.UIDUnknown, PID: r.PID, Program: r.Program, Call: r.Call}
		if !r.Time.IsZero() {
			made.Time = r.Time.UnixNano()
		}
		if r.UID != nil {
			made.UID = int64(*r.UID)
		}
		result.List = append(result.List, made)
	}
	return &result, nil
}

func (s *Server) revision(ctx context.Context, rq *call, a proto.RevisionArgs) (wire.Message, error) {
	ref, doc, err := s.cfg.Networks.RevisionXML(ctx, a.Network, int(a.Number))
	if ref.Name != "" { // whether there is such a definition is not for everybody either
		if err := s.allowed(ctx, rq, objectNetwork, "read", &ref, nil); err != nil {
			return nil, err
		}
	}
	return text(doc, err)
}
