// Package release makes releases of what is committed, and holds that they are what
// CONTRIBUTING.md says.
package release
