// Package engine carries steps out: it leads what is done for a network from one list
// of steps to another. A start leads from nothing to a plan, a change from a plan to
// a plan, a stop from a plan to nothing; repair, and what a crash cut short, lead
// to where the network should be and do again what may be repeated.
//
// How to undo what is about to be done is in the record before it is begun, and
// an error leaves the host as it was, as far as that can be done.
package engine
