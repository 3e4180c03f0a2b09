// Package netlink puts the rules of package firewall into the kernel and takes
// them out again, by nfnetlink.
//
// Every change is one batch, which the kernel applies as a whole or not at all;
// no packet sees a state in between. What a change costs does not depend on how
// many networks there are: only the chains of the networks at hand are read,
// never the table. Each rule carries a digest of its text in its user data
// (which nft does not show), so that [Install] can tell which chains are as they
// should be and leaves those alone, with their counters.
//
// The shared part is not looked at but declared again in every batch: tables,
// chains and maps that exist are left as they are, and the few rules of the
// base chains are replaced. So a table that somebody deleted, flushed or edited
// is whole again after the next Install.
//
// Callers serialise: two changes at the same time can make each other fail,
// though they never leave half a change. A connection must be made with [Open],
// or have no commands buffered and buffers large enough for the batch.
package netlink
