// Package kernel tests on Debian's kernel, in a virtual machine, what the kernel
// of the machine at hand may lack, and that nothing needs a newer one.
package kernel
