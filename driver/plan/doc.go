// Package plan compiles a network definition and the facts about a host to an
// ordered list of small steps, each with its undo.
//
// [Compile] is pure: the same definition and facts give the same plan. A plan
// prints as one line a step; that text is what `virbr render plan` shows and
// what the golden files hold. Steps follow the order of libvirt's
// networkStartNetworkVirtual.
package plan
