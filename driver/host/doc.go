// Package host is the one door to the system: it reads facts and carries out
// the ops of package plan by netlink, /proc/sys, files, processes and D-Bus.
//
// Nothing above it touches the host's network, and nothing here decides
// anything about networks. Each op is idempotent as far as a retry after a
// crash needs it, AddBridge excepted: there EEXIST is what keeps a bridge of
// somebody else safe.
//
// All input is hostile, though checked before: names, paths and lengths are
// validated once more where they become a path, a rule or a process.
package host
