// Package side runs what a benchmark compares in namespaces of its own: the same
// program again, as a child that answers questions, one a line.
package side
