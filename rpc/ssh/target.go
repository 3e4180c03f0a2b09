package ssh

import (
	"fmt"
	"strings"
	"unicode"
)

// Proxy is the program of the other host that connects to the socket.
type Proxy string

// The proxies, with libvirt's words.
const (
	Auto   Proxy = "auto"   // virt-ssh-helper where it is installed, else netcat
	Native Proxy = "native" // virt-ssh-helper
	Netcat Proxy = "netcat"
)

// Target is the daemon of another host, and how to get there.
type Target struct {
	Host     string
	Port     string // "": what ssh's configuration says, as of User and Keyfile
	User     string
	Keyfile  string // private key
	Command  string // the ssh program; "": ssh
	NoVerify bool   // keys of hosts that are not known yet are accepted
	NoTTY    bool   // fail rather than ask for a password

	Proxy   Proxy
	Netcat  string   // the netcat of the other host; "": nc
	Sockets []string // for netcat: the first that is there
	URI     string   // for virt-ssh-helper, which finds the socket itself
}

// String names the target as ssh would.
func (t *Target) String() string {
	if t.User == "" {
		return t.Host
	}
	return t.User + "@" + t.Host
}

// Check refuses what ssh or a shell could take for something else.
func (t *Target) Check() error {
	// ssh_config may put both into commands that a shell runs (ProxyCommand, Match exec),
	// so they are held to what names are made of; the user to what OpenSSH 9.6 accepts.
	switch {
	case t.Host == "":
		return fmt.Errorf("a host is missing: write user@host")
	case strings.HasPrefix(t.Host, "-"), strings.ContainsFunc(t.Host, outsideHost):
		return fmt.Errorf("%q is not the name or address of a host", t.Host)
	case strings.HasPrefix(t.User, "-"), strings.ContainsFunc(t.User, outsideUser), strings.HasSuffix(t.User, `\`):
		return fmt.Errorf("%q is not the name of a user", t.User)
	case strings.ContainsFunc(t.Port, func(r rune) bool { return r < '0' || r > '9' }):
		return fmt.Errorf("%q is not a port", t.Port)
	case strings.HasPrefix(t.Netcat, "-"):
		return fmt.Errorf("netcat %q is not a program", t.Netcat)
	}
	for _, word := range append([]string{t.Keyfile, t.Command, t.Netcat, t.URI}, t.Sockets...) {
		if strings.ContainsFunc(word, unquotable) {
			return fmt.Errorf("%q has a control character or a backslash", word)
		}
	}
	return nil
}

func outsideHost(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(".-_:%", r)
}

func outsideUser(r rune) bool {
	return unicode.IsControl(r) || unicode.IsSpace(r) || strings.ContainsRune("'`\";&<>|(){}", r)
}

// unquotable is what some shell takes for itself within single quotes: fish gives a
// backslash a meaning there, and csh a line break.
func unquotable(r rune) bool { return unicode.IsControl(r) || r == '\\' }

// quote makes a word of a shell of any text that passed Check.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// The scripts have no quotes of their own: what they are given are arguments. Netcat
// ends with the connection only where it is told so by -q, which some do not have.
const (
	byHelper = `exec virt-ssh-helper $1 "$2"`
	byNetcat = `shift 2; nc=$1; shift; for s; do test -S "$s" && break; done; ` +
		`if "$nc" -q 2>&1 | grep "requires an argument" >/dev/null; then exec "$nc" -q0 -U "$s"; fi; exec "$nc" -U "$s"`
)

// remote is the command line for the other host's shell.
func (t *Target) remote(readOnly bool) string {
	script := "if command -v virt-ssh-helper >/dev/null 2>&1; then " + byHelper + "; fi; " + byNetcat
	switch t.Proxy {
	case Native:
		script = byHelper
	case Netcat:
		script = byNetcat
	case Auto:
	}
	flag, nc := "", t.Netcat // as a word of its own virt-ssh-helper would take it for the URI
	if readOnly {
		flag = "-r"
	}
	if nc == "" {
		nc = "nc"
	}
	words := append([]string{script, "virbr", flag, t.URI, nc}, t.Sockets...)
	for i, w := range words {
		words[i] = quote(w)
	}
	return "sh -c " + strings.Join(words, " ")
}

// arguments are those of the ssh program: no terminal, no escape character, since what
// passes is not typed.
func (t *Target) arguments(readOnly bool) []string {
	args := []string{"-T", "-e", "none"}
	add := func(wanted bool, more ...string) {
		if wanted {
			args = append(args, more...)
		}
	}
	add(t.Port != "", "-p", t.Port)
	add(t.User != "", "-l", t.User)
	add(t.Keyfile != "", "-i", t.Keyfile)
	add(t.NoTTY, "-o", "BatchMode=yes")
	add(t.NoVerify, "-o", "StrictHostKeyChecking=no")
	return append(args, "--", t.Host, t.remote(readOnly))
}
