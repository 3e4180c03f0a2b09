// Package step is the language in which everything that is done to a host is said:
// the ops, steps made of them, and the facts about the host that they depend on. It
// is pure: values that print, compare and survive in files.
//
// An op is declared in one file, with its text and all that is fixed about it (see
// kind), and done by package host.
package step
