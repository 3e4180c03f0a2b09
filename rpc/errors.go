package rpc

import (
	"context"
	"errors"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/rpc/polkit"
	"github.com/virbr/virbr/xml"
)

// rule says with which code and domain an error is answered.
type rule struct {
	// match returns the error's detail if the rule is for it.
	match  func(error) (detail string, ok bool)
	code   code
	domain domain
}

// rules turns every room's errors into libvirt's codes; nothing else does. The
// first match counts. The prefix of the message belongs to the code, see
// wordings. What no rule is for is an internal error.
var rules = []rule{
	{driverKind(driver.KindInternal), codeInternal, domainNetwork},
	{driverKind(driver.KindNoNetwork), codeNoNetwork, domainNetwork},
	{driverKind(driver.KindNoPort), codeNoPort, domainNetwork},
	{driverKind(driver.KindPortExists), codePortExists, domainNetwork},
	{driverKind(driver.KindOperationInvalid), codeInvalid, domainNetwork},
	{driverKind(driver.KindOperationFailed), codeFailed, domainNetwork},
	{driverKind(driver.KindOperationUnsupported), codeNotSupported, domainNetwork},
	{driverKind(driver.KindConfigUnsupported), codeUnsupported, domainNetwork},
	{driverKind(driver.KindInvalidArg), codeInvalidArg, domainNetwork},
	{driverKind(driver.KindInvalidMAC), codeInvalidMAC, domainNetwork},
	{driverKind(driver.KindHook), codeHook, domainHook},
	{driverKind(driver.KindSystem), codeSystem, domainNetwork},
	{driverKind(driver.KindNoMetadata), codeNoMetadata, domainNetwork},
	{driverKind(driver.KindNoSupport), codeNoSupport, domainNetwork},
	{driverKind(driver.KindOperationTimeout), codeTimeout, domainNetwork},

	{xmlKind(xml.KindInternal), codeInternal, domainOfOrigin},
	{xmlKind(xml.KindXML), codeXML, domainOfOrigin},
	{xmlKind(xml.KindDetail), codeXMLDetail, domainOfOrigin},
	{xmlKind(xml.KindUnsupported), codeUnsupported, domainOfOrigin},
	{xmlKind(xml.KindNoName), codeNoName, domainOfOrigin},
	{xmlKind(xml.KindOverflow), codeOverflow, domainOfOrigin},
	{xmlKind(xml.KindSystem), codeSystem, domainOfOrigin},
	{xmlKind(xml.KindInvalidArg), codeInvalidArg, domainOfOrigin},
	{xmlKind(xml.KindOperation), codeInvalid, domainOfOrigin},
	{xmlKind(xml.KindNotSupported), codeNotSupported, domainOfOrigin},
	{xmlKind(xml.KindSchema), codeSchema, domainXML},

	{planKind(plan.KindInternal), codeInternal, domainNetwork},
	{planKind(plan.KindUnsupported), codeUnsupported, domainNetwork},
	{planKind(plan.KindSystem), codeSystem, domainNetwork},
	{planKind(plan.KindFailed), codeFailed, domainNetwork},

	{about(func(e *state.Error) (string, bool) { return e.Msg, true }), codeSystem, domainNetwork},

	{about(func(e *hooks.ScriptError) (string, bool) { return e.Error(), true }), codeHook, domainHook},

	{polkitReason(polkit.Denied), codeAuthFailed, domainPolkit},
	{polkitReason(polkit.Dismissed), codeAuthCancelled, domainPolkit},
	{polkitReason(polkit.NoAgent), codeNoAgent, domainPolkit},
	{polkitReason(polkit.NoBus), codeInternal, domainDBus},
	{polkitReason(polkit.Service), codeService, domainDBus},

	{timedOut, codeTimeout, domainNetwork},
	{stopped, codeFailed, domainNetwork},

	{anything, codeInternal, domainNetwork},
}

// origins are the domains of xml.Error's origins.
var origins = map[xml.Origin]domain{
	xml.OriginNetwork: domainNetwork,
	xml.OriginXML:     domainXML,
	xml.OriginHelper:  domainNone,
}

// classify finds the answer to an error that a handler returned.
func classify(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	for _, r := range rules {
		detail, ok := r.match(err)
		if !ok {
			continue
		}
		f := &failure{code: r.code, domain: r.domain, detail: detail, shape: shapeNormal}
		if f.domain == domainOfOrigin {
			f.domain = domainNetwork
			if e, ok := errors.AsType[*xml.Error](err); ok {
				f.domain = origins[e.Origin]
			}
		}
		if f.code == codeSystem {
			f.system(err)
		}
		return f
	}
	panic("rpc: no rule for an error, but the last one is for anything")
}

// about matches errors of a type of which detail finds that the rule is for them.
func about[E error](detail func(E) (string, bool)) func(error) (string, bool) {
	return func(err error) (string, bool) {
		if e, ok := errors.AsType[E](err); ok {
			return detail(e)
		}
		return "", false
	}
}

func driverKind(kind driver.Kind) func(error) (string, bool) {
	return about(func(e *driver.Error) (string, bool) { return e.Msg, e.Kind == kind })
}

func xmlKind(kind xml.Kind) func(error) (string, bool) {
	return about(func(e *xml.Error) (string, bool) { return e.Msg, e.Kind == kind })
}

func planKind(kind plan.Kind) func(error) (string, bool) {
	return about(func(e *plan.Error) (string, bool) { return e.Msg, e.Kind == kind })
}

func polkitReason(reason polkit.Reason) func(error) (string, bool) {
	return about(func(e *polkit.Error) (string, bool) { return e.Error(), e.Reason == reason })
}

func timedOut(err error) (string, bool) {
	return err.Error(), errors.Is(err, context.DeadlineExceeded)
}

// stopped: a call's context is only ever cancelled by the server that stops.
func stopped(err error) (string, bool) {
	return "the daemon is stopping", errors.Is(err, context.Canceled)
}

func anything(err error) (string, bool) { return err.Error(), true }

func isKind(err error, kind driver.Kind) bool {
	e, ok := errors.AsType[*driver.Error](err)
	return ok && e.Kind == kind
}

// refused reports whether an authorizer said no, in whatever way.
func refused(err error) bool {
	e, ok := errors.AsType[*polkit.Error](err)
	return ok && (e.Reason == polkit.Denied || e.Reason == polkit.Dismissed || e.Reason == polkit.NoAgent)
}
