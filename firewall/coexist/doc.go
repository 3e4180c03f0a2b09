// Package coexist decides about the packet filters of others: Docker, ufw,
// firewalld, nftables.service, bare iptables-nft.
//
// An accept of ours cannot undo a drop of theirs: the kernel asks every base
// chain of a hook, and each of them must let a packet pass. So this package
// follows a packet through the chains of all tables that are not ours
// ([Survey.Trace]), says whose chain and which rule stands in its way
// ([Obstacles]), and where a marked accept belongs ([Survey.Plan]): at the place
// that the owner documents for rules of others (DOCKER-USER, ufw's after chains),
// and in chains without such a place right before what drops everything that
// no earlier rule decided.
//
// What an administrator forbids on purpose stays forbidden: accepts come after
// his own rules, and a rule that drops this bridge's packets by name, or only
// some kind of them, is told and left alone.
//
// The package is pure; package firewall/netlink reads a Survey from the kernel
// and puts a [Change] into it.
package coexist
