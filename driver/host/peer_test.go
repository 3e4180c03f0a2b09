package host_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/driver/host"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestPeerUID: the kernel tells who connects, by whichever way.
func TestPeerUID(t *testing.T) {
	t.Parallel()
	netnstest.NeedUsers(t)
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for network, address := range map[string]string{"unix": dir + "/s", "tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "tcp": "127.0.0.1:0"} {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // nothing was written
		if network == "unix" {
			if err := os.Chmod(address, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		for _, uid := range []int{0, 1, 65534} {
			client := netnstest.DialAs(t, uid, network, l.Addr().String())
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			got, err := host.PeerUID(conn)
			if err != nil || got != uint32(uid) {
				t.Errorf("%s: user %d, %v; want %d", network, got, err, uid)
			}
			if network == "unix" {
				continue
			}
			// What is closed is nobody's: least of all root's.
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); err == nil {
				t.Fatal("the end was wanted")
			}
			if got, err := host.PeerUID(conn); err == nil {
				t.Errorf("%s: a closed connection is user %d's", network, got)
			}
		}
	}
	ours, _ := net.Pipe()
	if _, err := host.PeerUID(ours); err == nil {
		t.Error("a pipe in memory has a user")
	}
}
