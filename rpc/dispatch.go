package rpc

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// call is one request that somebody waits for.
type call struct {
	client    *client
	procedure *procedure
	header    wire.Header
	payload   []byte
	done      func() // gives back the request's slot and memory
	answered  bool
}

// handle deals with one frame, in the order in which libvirt looks at it.
// answered says that the slot of the frame is given back by a reply, now or
// later; last, that no frame is wanted any more.
func (c *client) handle(ctx context.Context, f frame) (answered, last bool) {
	h := f.header
	if h.Program == proto.KeepaliveProgram && h.Version == proto.KeepaliveVersion && h.Type == wire.TypeMessage {
		f.drop()
		if h.Procedure == proto.KeepalivePing {
			c.keepalive(proto.KeepalivePong)
		}
		return false, false
	}
	if h.Type != wire.TypeCall && h.Type != wire.TypeCallWithFDs {
		f.drop()
		return false, false
	}
	rq := &call{client: c, header: h, payload: f.payload}
	rq.done = func() {
		f.drop()
		<-c.slots
	}
	p, err := c.lookup(h)
	if err != nil {
		rq.reply(nil, err)
		return true, false
	}
	rq.procedure = p
	if p.inline && c.srv.cfg.Access == nil {
		rq.run(ctx)
		return true, closes(h)
	}
	c.srv.calls.Add(1)
	c.calls.Add(1)
	go func() {
		defer c.srv.calls.Done()
		defer c.calls.Done()
		rq.wait(ctx)
	}()
	return true, closes(h)
}

// closes reports whether a call says goodbye.
func closes(h wire.Header) bool {
	return h.Program == proto.Program && h.Procedure == proto.ConnectClose
}

// lookup finds the procedure of a call, or the reason why there is none.
func (c *client) lookup(h wire.Header) (*procedure, error) {
	find := lookupProcedure
	switch {
	case h.Program == proto.Program && h.Version == proto.Version:
	case h.Program == proto.ExtensionProgram && h.Version == proto.ExtensionVersion:
		find = lookupExtension
	default:
		return nil, fail(codeRPC, domainRPC, "Cannot find program %d version %d", int32(h.Program), int32(h.Version))
	}
	if h.Status != wire.StatusOK {
		return nil, fail(codeRPC, domainRPC, "Unexpected message status %d", h.Status)
	}
	p, ok := find(h.Procedure)
	if !ok {
		return nil, fail(codeRPC, domainRPC, "unknown procedure: %d", h.Procedure)
	}
	if p.stage > stageAnybody && !c.authenticated() {
		return nil, fail(codeRPC, domainRPC, "authentication required")
	}
	return &p, nil
}

// wait runs the call when there is a worker for it.
func (rq *call) wait(ctx context.Context) {
	workers := rq.client.srv.prioWorkers
	if rq.procedure.slow {
		workers = rq.client.srv.workers
	}
	if rq.procedure.patient {
		workers = nil
	}
	if workers != nil {
		worker, release, err := workers.Take(ctx)
		if err != nil {
			rq.reply(nil, err)
			return
		}
		defer release()
		ctx = worker
	}
	rq.run(ctx)
}

// run calls the handler and answers.
func (rq *call) run(ctx context.Context) {
	result, err := rq.try(ctx)
	if !rq.answered {
		rq.reply(result, err)
	}
}

// try calls the handler and survives it.
func (rq *call) try(ctx context.Context) (result wire.Message, err error) {
	defer func() {
		if v := recover(); v != nil {
			rq.client.srv.log.Error("a call panicked", "procedure", rq.header.Procedure, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			result, err = nil, &failure{code: codeInternal, domain: domainRPC, shape: shapeUnset}
		}
	}()
	return rq.procedure.serve(ctx, rq)
}

// reply sends the result or the error. Each call is answered once.
func (rq *call) reply(result wire.Message, err error) {
	rq.answered = true
	b, err := rq.encode(result, err)
	if err != nil {
		rq.client.srv.log.Error("encoding an error", "procedure", rq.header.Procedure, "err", err)
		rq.done()
		rq.client.shut()
		return
	}
	rq.client.send(b, rq.done)
	if closes(rq.header) && rq.procedure != nil {
		rq.client.out.finish()
	}
}

func (rq *call) encode(result wire.Message, err error) ([]byte, error) {
	h := rq.header
	h.Type = wire.TypeReply
	if err == nil {
		h.Status = wire.StatusOK
		b, tooBig := wire.Frame(h, result)
		if tooBig == nil {
			return b, nil
		}
		err = fail(codeRPC, domainRPC, "Unable to encode message payload")
	}
	h.Status = wire.StatusError
	return wire.Frame(h, classify(err).wire())
}

// handler serves a call. A nil result is void.
type handler func(ctx context.Context, rq *call) (wire.Message, error)

// bind makes a handler of a method with typed arguments: it decodes them, and
// then looks whether the connection is in a state for the call.
func bind[A any, P interface {
	*A
	Decode(*wire.Decoder)
}](serve func(*Server, context.Context, *call, A) (wire.Message, error)) handler {
	return func(ctx context.Context, rq *call) (wire.Message, error) {
		var args A
		d := wire.NewDecoder(rq.payload)
		P(&args).Decode(d)
		if d.Err() != nil {
			return nil, fail(codeRPC, domainRPC, "Unable to decode message payload")
		}
		if err := rq.admissible(); err != nil {
			return nil, err
		}
		return serve(rq.client.srv, ctx, rq, args)
	}
}

// admissible looks whether the connection is in a state for the call.
func (rq *call) admissible() error {
	c, p := rq.client, rq.procedure
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	switch {
	case p.stage == stageHypervisor && !c.session.open:
		return fail(codeInternal, domainRPC, "hypervisor connection not open")
	case p.stage == stageNetwork && !c.session.open:
		return fail(codeInternal, domainRPC, "connection not open")
	case p.forbid != "" && c.session.readOnly:
		return fail(codeDenied, domainNetwork, "read only access prevents %s", p.forbid)
	}
	return nil
}
