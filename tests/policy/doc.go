// Package policy holds the rules of the house that a compiler does not: which
// room may import what, what a package may keep in variables, and how long
// files and functions may be. It has tests only.
package policy
