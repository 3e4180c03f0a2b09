package client_test

import (
	"testing"

	"github.com/virbr/virbr/rpc/client"
)

const lab = `<network>
  <name>lab</name>
  <forward mode='nat'/>
  <bridge name='virbr7'/>
  <ip address='192.0.2.1' prefix='24'>
    <dhcp>
      <range start='192.0.2.100' end='192.0.2.200'/>
      <host mac='52:54:00:00:00:0a' name='web1' ip='192.0.2.10'/>
    </dhcp>
  </ip>
</network>`

// dial connects to a socket.
func dial(t *testing.T, socket string) *client.Conn {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Config{URI: client.URI{Socket: socket}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
