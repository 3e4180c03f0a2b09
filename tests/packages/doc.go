// Package packages tests the .deb and the .rpm with real dpkg and rpm, in a small
// Debian that tests/install-root makes, and what is in them: units, manual
// pages, policies.
package packages
