// Package netlink puts the rules of package firewall into the kernel and takes
// them out again, by nfnetlink.
//
// Every change is one batch, which the kernel applies as a whole or not at all;
// no packet sees a state in between. What a change costs does not depend on how
// many networks there are: only the chains of the networks at hand are read,
// never the table. (The kernel itself looks for loops in the whole table with
// every change, which takes some two microseconds a network.) Each rule carries
// a digest of its text in its user data (which nft does not show), so that
// [Install] can tell which chains are as they should be and leaves those alone,
// with their counters.
//
// The shared part is checked with every change too: what is missing is made, and
// base chains that are not as they should be get their rules anew. So a table
// that somebody deleted, flushed or edited is whole again after the next Install
// (elements and chains of other networks after theirs).
//
// Forwards and public addresses are elements of shared maps, thousands of them
// perhaps. [Change], which is told what was there, sends the elements that differ
// and reads nothing; [Install] reads all that the network has, and mends what is
// missing, wrong or too much.
//
// Expressions are those of github.com/google/nftables; the messages around them
// are made here, because that library cannot write "masquerade to :PORTS" so
// that the kernel heeds it, and waits for an acknowledgement of every message.
//
// Changes of one [Conn] wait for each other. Two connections that change the same
// network at the same time can make each other fail, but never leave half a
// change.
package netlink
