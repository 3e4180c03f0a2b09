package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/virbr/virbr/tests/netnstest"
)

// What becomes of a datagram that is not delivered.
var (
	errRejected = errors.New("rejected (port unreachable)")
	errSilent   = errors.New("no answer")
)

// answerTime bounds the wait for a datagram that is dropped without a word;
// one that arrives or is rejected ends the wait at once.
const answerTime = 10 * time.Second

// datagram sends one UDP datagram from one guest to an address that another
// listens on, and returns the source address that the listener sees.
func datagram(ctx context.Context, listener, sender *netnstest.Guest, to netip.Addr) (netip.Addr, error) {
	return datagramAt(ctx, listener, sender, netip.AddrPortFrom(to, 0))
}

// datagramAt sends it to a port; 0: any.
func datagramAt(ctx context.Context, listener, sender *netnstest.Guest, to netip.AddrPort) (netip.Addr, error) {
	var server net.PacketConn
	err := listener.Do(func() error {
		var err error
		server, err = net.ListenPacket("udp", to.String())
		return err
	})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("listening on %s in %s: %w", to, listener.Name, err)
	}
	defer func() { _ = server.Close() }()
	var client net.Conn
	err = sender.Do(func() error {
		var err error
		client, err = (&net.Dialer{}).DialContext(ctx, "udp", server.LocalAddr().String())
		return err
	})
	if errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return netip.Addr{}, fmt.Errorf("%s has no route to %s", sender.Name, to.Addr())
	} else if err != nil {
		return netip.Addr{}, err
	}
	defer func() { _ = client.Close() }()
	return deliver(client, server)
}

// deliver writes to a connected UDP socket and waits for either the datagram
// at the server or the ICMP error at the client.
func deliver(client net.Conn, server net.PacketConn) (netip.Addr, error) {
	if _, err := client.Write([]byte("knock")); err != nil {
		return netip.Addr{}, err
	}
	deadline := time.Now().Add(answerTime)
	_ = client.SetReadDeadline(deadline)
	_ = server.SetReadDeadline(deadline)
	refused := make(chan error, 1)
	go func() {
		_, err := client.Read(make([]byte, 16))
		if errors.Is(err, syscall.ECONNREFUSED) {
			_ = server.SetReadDeadline(time.Now())
		}
		refused <- err
	}()
	_, from, err := server.ReadFrom(make([]byte, 16))
	if err == nil {
		return from.(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
	}
	switch cause := <-refused; {
	case errors.Is(cause, syscall.ECONNREFUSED):
		return netip.Addr{}, errRejected
	case errors.Is(cause, syscall.EHOSTUNREACH):
		return netip.Addr{}, cause
	default:
		return netip.Addr{}, errSilent
	}
}

// run runs a program in the test's own namespace, the host of the networks.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
