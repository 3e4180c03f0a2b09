package netnstest

import "syscall"

// Attributes start a process in new namespaces as [Run] does, for programs that
// are no tests. The process calls [Enter] before anything else.
func Attributes() *syscall.SysProcAttr { return attributes() }

// Enter finishes the namespaces that a process was started in by [Attributes].
func Enter() error { return enter() }
