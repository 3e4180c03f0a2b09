// Package qemutest boots Debian's kernel, with its modules, in QEMU and runs a
// program there: for what the kernel of the machine at hand lacks (tc's csum
// and police actions, VLANs, SCTP), and for virtual machines on our networks.
//
// The root file system is an initramfs made on the spot: busybox, the named
// programs with the shared libraries that they need, and the named modules with
// those that they depend on. It needs no KVM.
//
// The kernel is that of the package linux-image-cloud-amd64, unpacked below
// tests/.cache/kernel by tests/install-deps, or below $VIRBR_TEST_KERNEL.
package qemutest
