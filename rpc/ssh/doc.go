// Package ssh reaches the daemon of another host by the ssh program, as libvirt's
// clients do: on that host virt-ssh-helper or netcat connects standard input and output
// with the daemon's socket.
//
// ssh has the other host's shell run one string. All that stands in it is quoted for
// that shell, and what no quoting is sure for is refused. What ssh itself is given are
// arguments of their own, and none can be taken for an option.
package ssh
