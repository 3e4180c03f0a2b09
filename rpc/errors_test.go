package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/rpc"
	"github.com/virbr/virbr/rpc/polkit"
	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/xml"
)

// errorRow is a row of the table of errors as clients see it.
type errorRow struct {
	err          error
	code, domain int32
	message      string
	str1         string // the template, where the shape is not the normal one or it has no detail
}

func driverError(kind driver.Kind) error { return &driver.Error{Kind: kind, Msg: "DETAIL"} }

func xmlError(kind xml.Kind, origin xml.Origin) error {
	return &xml.Error{Kind: kind, Origin: origin, Line: 3, Msg: "DETAIL"}
}

// errorRows has one entry for each row of the table, in its order.
func errorRows() []errorRow {
	noNet := &driver.Error{Kind: driver.KindNoNetwork, Msg: "no network with matching uuid 'u' (n)"}
	return []errorRow{
		{driverError(driver.KindInternal), 1, 19, "internal error: DETAIL", ""},
		{fmt.Errorf("starting: %w", noNet), 43, 19, "Network not found: no network with matching uuid 'u' (n)", "Network not found: %1$s"},
		{driverError(driver.KindNoPort), 107, 19, "network port not found: DETAIL", ""},
		{driverError(driver.KindPortExists), 106, 19, "network port DETAIL exists already", "network port %1$s exists already"},
		{driverError(driver.KindOperationInvalid), 55, 19, "Requested operation is not valid: DETAIL", ""},
		{driverError(driver.KindOperationFailed), 9, 19, "operation failed: DETAIL", ""},
		{driverError(driver.KindOperationUnsupported), 84, 19, "Operation not supported: DETAIL", ""},
		{driverError(driver.KindConfigUnsupported), 67, 19, "unsupported configuration: DETAIL", ""},
		{driverError(driver.KindInvalidArg), 8, 19, "invalid argument: DETAIL", ""},
		{driverError(driver.KindInvalidMAC), 44, 19, "invalid MAC address: DETAIL", ""},
		{driverError(driver.KindHook), 70, 34, "Hook script execution failed: DETAIL", ""},
		{&driver.Error{Kind: driver.KindSystem, Msg: "cannot remove config file 'f'", Err: fmt.Errorf("unlink f: %w", syscall.EACCES)}, 38, 19, "cannot remove config file 'f': Permission denied", "%s"},
		{driverError(driver.KindNoMetadata), 111, 19, "metadata not found: DETAIL", ""},
		{driverError(driver.KindNoSupport), 3, 19, "this function is not supported by the connection driver: DETAIL", ""},
		{driverError(driver.KindOperationTimeout), 68, 19, "Timed out during operation: DETAIL", ""},

		{xmlError(xml.KindInternal, xml.OriginHelper), 1, 0, "internal error: DETAIL", ""},
		{xmlError(xml.KindXML, xml.OriginXML), 27, 5, "XML error: DETAIL", ""},
		{xmlError(xml.KindUnsupported, xml.OriginHelper), 67, 0, "unsupported configuration: DETAIL", ""},
		{xmlError(xml.KindDetail, xml.OriginNetwork), 35, 19, "DETAIL", ""},
		{&xml.Error{Kind: xml.KindNoName}, 21, 19, "missing name information", "missing name information"},
		{xmlError(xml.KindOverflow, xml.OriginNetwork), 82, 19, "numerical overflow: DETAIL", ""},
		{xmlError(xml.KindSystem, xml.OriginNetwork), 38, 19, "DETAIL", "%s"},
		{xmlError(xml.KindInvalidArg, xml.OriginHelper), 8, 0, "invalid argument: DETAIL", ""},
		{xmlError(xml.KindOperation, xml.OriginNetwork), 55, 19, "Requested operation is not valid: DETAIL", ""},
		{xmlError(xml.KindNotSupported, xml.OriginNetwork), 84, 19, "Operation not supported: DETAIL", ""},
		{xmlError(xml.KindSchema, xml.OriginNetwork), 92, 5, "XML document failed to validate against schema: DETAIL", ""},

		{&plan.Error{Kind: plan.KindInternal, Msg: "DETAIL"}, 1, 19, "internal error: DETAIL", ""},
		{&plan.Error{Kind: plan.KindUnsupported, Msg: "DETAIL"}, 67, 19, "unsupported configuration: DETAIL", ""},
		{&plan.Error{Kind: plan.KindFailed, Msg: "DETAIL"}, 9, 19, "operation failed: DETAIL", ""},
		{&plan.Error{Kind: plan.KindSystem, Msg: "DETAIL"}, 38, 19, "DETAIL", "%s"},

		{&state.Error{Msg: "cannot write file", Err: syscall.ENOSPC}, 38, 19, "cannot write file: No space left on device", ""},

		{
			&hooks.ScriptError{Command: "LC_ALL=C /hook", Status: "exit status 1", Stderr: "no"}, 70, 34,
			"Hook script execution failed: internal error: Child process (LC_ALL=C /hook) unexpected exit status 1: no", "",
		},

		{&polkit.Error{Reason: polkit.Denied}, 45, 60, "authentication failed: access denied by policy", ""},
		{&polkit.Error{Reason: polkit.Dismissed}, 79, 60, "authentication cancelled: user cancelled authentication process", ""},
		{&polkit.Error{Reason: polkit.NoAgent, Action: "a.b"}, 94, 60, "authentication unavailable: no polkit agent available to authenticate action 'a.b'", ""},
		{&polkit.Error{Reason: polkit.NoBus, Err: syscall.ENOENT}, 1, 47, "internal error: Unable to get system bus connection: Could not connect: No such file or directory", ""},
		{&polkit.Error{Reason: polkit.Service, Err: errors.New("DETAIL")}, 89, 47, "error from service: DETAIL", ""},

		{fmt.Errorf("waiting: %w", context.DeadlineExceeded), 68, 19, "Timed out during operation: waiting: context deadline exceeded", ""},
		{fmt.Errorf("waiting: %w", context.Canceled), 9, 19, "operation failed: the daemon is stopping", ""},

		{errors.New("something else"), 1, 19, "internal error: something else", ""},
	}
}

// TestErrorTable holds every row of the table to what clients get, over the
// wire and through virsh.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	rows := errorRows()
	if len(rows) != rpc.Rules() {
		t.Errorf("%d rows are tested, the table has %d", len(rows), rpc.Rules())
	}
	for i, row := range rows {
		t.Run(fmt.Sprintf("%02d", i), func(t *testing.T) {
			t.Parallel()
			f := newFake(testNet("broken", 1, true))
			f.err = row.err
			socket := serve(t, rpc.Config{Networks: f})
			c := login(t, socket)
			e := c.refused(proto.NetworkDestroy, &proto.Network{Name: "broken", UUID: testNet("", 1, true).ref.UUID}, row.code, row.domain, row.message)
			if row.str1 != "" && (e.Str1 == nil || *e.Str1 != row.str1) {
				t.Errorf("str1 is %q, want %q", text(e.Str1), row.str1)
			}
			_, stderr, err := virsh(t, socket, "net-destroy", "broken")
			if err == nil || !strings.HasSuffix(stderr, "error: "+row.message) {
				t.Errorf("virsh: %v, printed:\n%s", err, stderr)
			}
		})
	}
}

func text(s *string) string {
	if s == nil {
		return "(absent)"
	}
	return *s
}

// TestErrorShapes: libvirt's ways to fill the structure. TestFixtures has the
// normal one and that of a refused argument.
func TestErrorShapes(t *testing.T) {
	t.Parallel()
	str := func(s string) *string { return &s }
	tests := []struct {
		name string
		err  error
		want proto.Error
	}{
		{
			"code without detail", &xml.Error{Kind: xml.KindNoName},
			proto.Error{Code: 21, Domain: 19, Message: str("missing name information"), Level: 2, Str1: str("missing name information"), Int1: -1, Int2: -1},
		},
		{
			"system error", &driver.Error{Kind: driver.KindSystem, Msg: "error creating bridge interface br0", Err: syscall.EBUSY},
			proto.Error{
				Code: 38, Domain: 19, Message: str("error creating bridge interface br0: Device or resource busy"), Level: 2,
				Str1: str("%s"), Str2: str("error creating bridge interface br0: Device or resource busy"), Int1: 16, Int2: -1,
			},
		},
		{
			"system error without errno", &driver.Error{Kind: driver.KindSystem, Msg: "reading", Err: errors.New("no luck")},
			proto.Error{Code: 38, Domain: 19, Message: str("reading: no luck"), Level: 2, Str1: str("%s"), Str2: str("reading: no luck"), Int2: -1},
		},
		{
			"the first of several errors", errors.Join(&driver.Error{Kind: driver.KindHook, Msg: "hook"}, &driver.Error{Kind: driver.KindInternal, Msg: "undo"}),
			proto.Error{Code: 70, Domain: 34, Message: str("Hook script execution failed: hook"), Level: 2, Str1: str("Hook script execution failed: %1$s"), Str2: str("hook"), Int1: -1, Int2: -1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(testNet("broken", 1, true))
			f.err = tt.err
			c := login(t, serve(t, rpc.Config{Networks: f}))
			_, e := c.call(proto.NetworkCreate, ptr(testArgs("broken", 1)))
			if diff := cmp.Diff(&tt.want, e); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// testArgs names a network that testNet makes.
func testArgs(name string, number byte) proto.Network {
	return proto.Network{Name: name, UUID: testNet("", number, true).ref.UUID}
}

// TestErrorSafe: a message is cut, and cannot fool a terminal.
func TestErrorSafe(t *testing.T) {
	t.Parallel()
	c := login(t, serve(t, rpc.Config{Networks: newFake()}))
	c.refused(proto.NetworkLookupByName, &proto.String{Value: "a\x1b[2J\xff\tb\r\n"}, 43, 19,
		"Network not found: no network with matching name 'a?[2J\xff\tb?\n'")
	for _, name := range []string{strings.Repeat("n", 4<<20), strings.Repeat("é", 2<<20), strings.Repeat("\xff", 4<<20)} {
		_, e := c.call(proto.NetworkLookupByName, &proto.String{Value: name})
		if e == nil || e.Code != 43 || len(*e.Message) > 65536 || len(*e.Message) < 65530 {
			t.Errorf("a name of 4 MiB: %d bytes of message", len(*e.Message))
		}
		if name[0] != 0xff && strings.ToValidUTF8(*e.Message, "?") != *e.Message {
			t.Error("the message was cut within a character")
		}
	}
}

// TestResultTooLarge: what does not fit a string of the protocol is an error.
func TestResultTooLarge(t *testing.T) {
	t.Parallel()
	n := testNet("large", 1, true)
	n.doc = strings.Repeat("x", 4<<20+1)
	c := login(t, serve(t, rpc.Config{Networks: newFake(n)}))
	c.refused(proto.NetworkGetXMLDesc, &proto.NetworkFlags{Network: testArgs("large", 1)}, 39, 7, "Unable to encode message payload")
	c.alive()
}
