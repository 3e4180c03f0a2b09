package rpc

import (
	"context"
	"math"

	"github.com/virbr/virbr/quota"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/rpc/wire"
)

// Identity is on whose behalf a call is made, for access control: the peer, or
// whom a libvirt daemon says that it speaks for. What is not known is nil or
// empty.
type Identity struct {
	UserName    string
	UID         *uint64
	GroupName   string
	GID         *uint64
	PID         *int64
	StartTime   *uint64 // clock ticks since boot
	SASLUser    string
	X509Name    string
	SELinux     string
	SystemToken string
}

// peerIdentity is the identity of a client that has not set another.
func peerIdentity(peer Peer) Identity {
	uid, gid, pid := uint64(peer.UID), uint64(peer.GID), int64(peer.PID)
	id := Identity{UID: &uid, GID: &gid, PID: &pid}
	if peer.StartTime != 0 {
		id.StartTime = &peer.StartTime
	}
	return id
}

// maxIdentity is how much text an identity may have, in bytes: it is kept. The
// longest that libvirt's daemons pass on is an SELinux context, of a page at most.
const maxIdentity = 16 << 10

// payer is on whose account a call goes. A libvirt daemon, which is root, speaks for
// its clients by one connection: what they ask for is theirs to pay.
func (c *client) payer() quota.User {
	c.session.mu.Lock()
	identity := c.session.identity
	c.session.mu.Unlock()
	if c.user.Class != quota.Root || identity == nil || identity.UID == nil || *identity.UID == 0 {
		return c.user
	}
	return quota.User{UID: uint32(min(*identity.UID, math.MaxUint32)), Class: quota.Other}
}

// identityKeys are the parameters of ConnectSetIdentity (viridentity.h).
var identityKeys = map[string]struct {
	kind wire.ParamType
	set  func(*Identity, *wire.Param)
}{
	"user-name":               {wire.ParamString, func(id *Identity, p *wire.Param) { id.UserName = p.Text }},
	"unix-user-id":            {wire.ParamUllong, func(id *Identity, p *wire.Param) { id.UID = &p.Number }},
	"group-name":              {wire.ParamString, func(id *Identity, p *wire.Param) { id.GroupName = p.Text }},
	"unix-group-id":           {wire.ParamUllong, func(id *Identity, p *wire.Param) { id.GID = &p.Number }},
	"process-id":              {wire.ParamLlong, func(id *Identity, p *wire.Param) { pid := int64(p.Number); id.PID = &pid }},
	"process-time":            {wire.ParamUllong, func(id *Identity, p *wire.Param) { id.StartTime = &p.Number }},
	"sasl-user-name":          {wire.ParamString, func(id *Identity, p *wire.Param) { id.SASLUser = p.Text }},
	"x509-distinguished-name": {wire.ParamString, func(id *Identity, p *wire.Param) { id.X509Name = p.Text }},
	"selinux-context":         {wire.ParamString, func(id *Identity, p *wire.Param) { id.SELinux = p.Text }},
	"system.token":            {wire.ParamString, func(id *Identity, p *wire.Param) { id.SystemToken = p.Text }},
}

// setIdentity replaces whom access is checked for. Who is authenticated stays
// what it is, and is the one who must be allowed to: a daemon that speaks for one
// client after another by the same connection, and nobody by claiming to be root.
func (s *Server) setIdentity(ctx context.Context, rq *call, a proto.IdentityArgs) (wire.Message, error) {
	id, err := parseIdentity(a.Params)
	if err != nil {
		return nil, err
	}
	if err := s.allowedTo(ctx, peerIdentity(rq.client.peer), Access{Object: objectConnect, Permission: "write"}); err != nil {
		return nil, err
	}
	session := &rq.client.session
	session.mu.Lock()
	defer session.mu.Unlock()
	session.identity = &id
	return nil, nil
}

func parseIdentity(params []wire.Param) (Identity, error) {
	var id Identity
	if err := checkParams(params); err != nil {
		return id, err
	}
	seen := map[string]bool{}
	size := 0
	for i := range params {
		p := &params[i]
		if size += len(p.Text); size > maxIdentity {
			return id, fail(codeInvalidArg, domainNone, "an identity of more than %d bytes", maxIdentity)
		}
		key, ok := identityKeys[p.Field]
		switch {
		case !ok:
			return id, fail(codeArgument, domainNone, "parameter '%s' not supported", p.Field)
		case key.kind != p.Type:
			return id, fail(codeInvalidArg, domainNone, "invalid type '%s' for parameter '%s', expected '%s'", p.Type, p.Field, key.kind)
		case seen[p.Field]:
			return id, fail(codeInvalidArg, domainNone, "parameter '%s' occurs multiple times", p.Field)
		}
		seen[p.Field] = true
		key.set(&id, p)
	}
	return id, nil
}

// checkParams refuses names that libvirt's own structure has no room for.
func checkParams(params []wire.Param) error {
	for i := range params {
		if len(params[i].Field) > wire.MaxParamField {
			return fail(codeInternal, domainNone, "parameter %s too big for destination", params[i].Field)
		}
	}
	return nil
}

// process returns the process of an identity, if it is known for sure.
func (id *Identity) process() (pid uint32, started uint64, uid int32, ok bool) {
	if id.PID == nil || id.StartTime == nil || id.UID == nil ||
		*id.PID <= 0 || *id.PID > math.MaxInt32 || *id.UID > math.MaxInt32 {
		return 0, 0, 0, false
	}
	return uint32(*id.PID), *id.StartTime, int32(*id.UID), true
}
