package systems

import (
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/tests/qemutest"
)

// guestInit has the guest in a machine lease an address and ping the outside host
// for ever.
const guestInit = `chmod +x /etc/udhcpc
ip link set eth0 up
udhcpc -i eth0 -f -n -q -t 60 -T 1 -x hostname:guest -s /etc/udhcpc
while :; do ping -i 0.2 198.51.100.2; done
`

const udhcpc = "#!/bin/sh\n" + `case "$1" in bound|renew)
ip addr replace "$ip/$mask" dev "$interface"
[ -z "$router" ] || ip route replace default via "$router"
;; esac
`

// withGuest adds what a guest in the machine boots from, and lab.sh, to its files.
func withGuest(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	initrd := filepath.Join(t.TempDir(), "guest.initrd")
	files["guest.kernel"] = qemutest.Build(t, qemutest.Guest{
		Modules: []string{"virtio_pci", "virtio_net", "af_packet"},
		Files:   map[string]string{"/etc/udhcpc": udhcpc},
		Init:    guestInit,
	}, initrd)
	files["guest.initrd"] = initrd
	files["lab.sh"] = "lab.sh"
	return files
}
