// Package overlay adds virbr's extensions to networks that another daemon runs:
// libvirt's own, which calls virbrd as a hook.
//
// That daemon owns its networks: bridges, addresses, its dnsmasq, its rules. What
// is added is computed beside it (plan.Overlay), applied step by step, and kept as
// an undo record on disk, so that whoever comes later, the next call of the hook,
// the agent, a newer version, can take back or carry on what an earlier one did. A
// call converges: it compares what is wanted with what the record says, does what
// differs and repairs what others took away. One that fails puts back what was.
//
// The hook is called when networks start, stop and change; what follows guests and
// other programs in between is the work of one agent a host, which runs while
// there is something to look after ([Engine.Run]). It shares the records with the
// hooks and adds no state of its own.
//
// The room reaches the host through the interface that it declares.
package overlay
