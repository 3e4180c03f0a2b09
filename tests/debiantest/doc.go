// Package debiantest gives tests a small Debian of their own, in which they may install
// packages and run programs: an overlay of those that tests/install-root makes.
package debiantest
