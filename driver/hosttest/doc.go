// Package hosttest is a host for tests of the driver that need no kernel: it
// prints each step as a line and keeps just enough state to notice a step that
// could not work, or what is left behind.
package hosttest
