// Package binaries builds this module's programs for tests that run them.
package binaries
