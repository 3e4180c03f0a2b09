// Package cockpit tests the page in Cockpit as a person uses it: in Chromium, served by
// Debian's cockpit-ws and cockpit-bridge, which run the real virbr and virbrd in a small
// Debian that tests/install-root makes.
package cockpit
