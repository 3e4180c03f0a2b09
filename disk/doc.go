// Package disk reads and replaces files as a program must that runs as root:
// nothing is read without a bound, nothing is half written, and no link leads a
// write elsewhere.
package disk
