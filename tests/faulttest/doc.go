// Package faulttest runs a program whose system calls a test counts, and makes
// the Nth fail, or kills the program in its place. The program is the one that
// is shipped: nothing is built into it for this.
//
// The kernel hands over the calls (seccomp_unotify(2)): a call waits until the
// test says that it is to go on, or what it is to return. Calls are counted
// over all threads of the program; its children's go on uncounted.
package faulttest
