// Command growth measures what a change of one network costs virbrd beside how many
// forwards and other networks: on the same machine, in the same run, in turns. Each
// daemon lives in namespaces of its own, and all are there the whole time. It prints a
// table: medians, and the medians of the ratios within one round, of the time that a
// client waits and of the processor time that virbrd uses. docs/benchmarks.md holds one
// with the method.
//
//	go run ./tests/bench/growth -virbrd bin/virbrd
package main
