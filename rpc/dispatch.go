package rpc

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/quota"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// call is one request that somebody waits for.
type call struct {
	client    *client
	payer     quota.User // of workers and memory
	procedure *procedure
	header    wire.Header
	payload   []byte
	cut       bool   // payload is not all that was sent
	done      func() // gives back the request's slot and memory
	inline    bool   // the reader runs it, and must not wait
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
	rq := &call{client: c, payer: c.payer(), header: h, payload: f.payload, cut: f.cut}
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
		rq.inline = true
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
		// Also for a client that is gone: it may have asked for a change.
		if err := workers.Acquire(ctx, nil, rq.payer, 1); err != nil {
			rq.reply(nil, err)
			return
		}
		defer workers.Release(rq.payer, 1)
		ctx = workers.With(ctx, rq.payer)
	}
	rq.run(ctx)
}

// run calls the handler and answers, both with the memory that it takes.
func (rq *call) run(ctx context.Context) {
	var paid int64
	if rq.procedure.memory > 0 {
		if err := rq.reserve(ctx, rq.procedure.memory); err != nil {
			rq.reply(nil, err)
			return
		}
		paid = rq.procedure.memory
	}
	result, err := rq.try(ctx)
	if rq.answered {
		rq.refund(paid)
		return
	}
	out := rq.encode(result, err)
	size := out.size()
	switch {
	case paid > size:
		rq.refund(paid - size)
		out.paid, out.payer = size, rq.payer
	case paid > 0:
		out.paid, out.payer = paid, rq.payer
	case !rq.inline && size > freeReply && rq.reserve(ctx, size) == nil:
		out.paid, out.payer = size, rq.payer
	}
	rq.deliver(out)
}

// reserve waits until the caller may have so much memory. Who has to wait for what
// was sent before holds a worker meanwhile, and no one else's.
func (rq *call) reserve(ctx context.Context, bytes int64) error {
	return rq.client.srv.replies.Acquire(ctx, rq.client.gone, rq.payer, bytes)
}

func (rq *call) refund(bytes int64) {
	if bytes > 0 {
		rq.client.srv.replies.Release(rq.payer, bytes)
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
	if rq.procedure.forbid != "" { // it changes something
		ctx = driver.WithActor(ctx, rq.actor)
	}
	return rq.procedure.serve(ctx, rq)
}

// reply sends the result or the error. Each call is answered once.
func (rq *call) reply(result wire.Message, err error) { rq.deliver(rq.encode(result, err)) }

func (rq *call) deliver(out outgoing) {
	rq.answered = true
	if out.frame == nil {
		rq.client.out.settle(&out)
		rq.client.shut()
		return
	}
	rq.client.send(out)
	if closes(rq.header) && rq.procedure != nil {
		rq.client.out.finish()
	}
}

// encode makes the frame of a reply.
func (rq *call) encode(result wire.Message, err error) outgoing {
	h := rq.header
	h.Type = wire.TypeReply
	if err == nil {
		h.Status = wire.StatusOK
		b, tooBig := wire.Frame(h, result)
		if tooBig == nil {
			return outgoing{frame: b, done: rq.done}
		}
		err = fail(codeRPC, domainRPC, "Unable to encode message payload")
	}
	h.Status = wire.StatusError
	b, err := wire.Frame(h, classify(err).wire())
	if err != nil {
		rq.client.srv.log.Error("encoding an error", "procedure", rq.header.Procedure, "err", err)
	}
	return outgoing{frame: b, done: rq.done}
}

// handler serves a call. A nil result is void.
type handler func(ctx context.Context, rq *call) (wire.Message, error)

// bind makes a handler of a method with typed arguments: it decodes them, and
// then looks whether the connection is in a state for the call.
func bind[A any, P interface {
	*A
	wire.Message
}](serve func(*Server, context.Context, *call, A) (wire.Message, error)) handler {
	return func(ctx context.Context, rq *call) (wire.Message, error) {
		var args A
		if _, err := wire.Decode(rq.payload, P(&args)); err != nil {
			if rq.cut { // libvirt takes all of it, and then finds that it must not
				if err := rq.admissible(); err != nil {
					return nil, err
				}
				return nil, fail(codeRPC, domainRPC, "Unable to decode message payload: a read-only connection may send %d bytes", readOnlyFrame)
			}
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
