package e2e

import (
	"strings"
	"testing"

	"github.com/virbr/virbr/rpc/proto"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestMetadata: title, description and elements of the running and of the
// persistent definition, over the wire, because libvirt 9.0 has no command for
// them; they are there after a restart of the daemon too.
func TestMetadata(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		d := startVirbrd(t)
		d.up("default", natXML)
		c := dial(t, socketRW, 0)
		net := c.lookup("default")
		const (
			live, config        = 1, 2
			description, title  = 0, 1
			element             = 2
			absent              = "metadata not found: Requested metadata element is not present"
			noTransient         = "Requested operation is not valid: cannot change persistent config of a transient network"
			notRunning, twoDefs = "Requested operation is not valid: network is not running", "Flags 'VIR_NETWORK_UPDATE_AFFECT_LIVE' and 'VIR_NETWORK_UPDATE_AFFECT_CONFIG' are mutually exclusive"
		)
		set := func(kind int32, text, key, uri *string, flags uint32) proto.SetMetadataArgs {
			return proto.SetMetadataArgs{Network: net, Type: kind, Metadata: text, Key: key, URI: uri, Flags: flags}
		}
		get := func(kind int32, uri *string, flags uint32) string {
			t.Helper()
			var s proto.String
			c.must(proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, Type: kind, URI: uri, Flags: flags}, &s)
			return s.Value
		}
		want := func(what, want, got string) {
			t.Helper()
			if got != want {
				t.Errorf("%s is %q, want %q", what, got, want)
			}
		}
		for _, kind := range []int32{description, title} {
			c.refused(proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, Type: kind}, 111, 19, absent)
		}
		k, uri := pointer("app"), pointer("urn:app:1")
		c.refused(proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, Type: element, URI: uri}, 111, 19, absent)
		c.refused(proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, Type: title, Flags: live | config}, 8, 19, twoDefs)
		c.refused(proto.NetworkSetMetadata, new(set(7, pointer("x"), nil, nil, 0)), 8, 19, "invalid argument: unknown metadata type '7'")

		c.must(proto.NetworkSetMetadata, new(set(title, pointer("running"), nil, nil, live)), nil)
		c.must(proto.NetworkSetMetadata, new(set(title, pointer("for <later> & ever"), nil, nil, config)), nil)
		c.must(proto.NetworkSetMetadata, new(set(description, pointer("line\nand line"), nil, nil, live|config)), nil)
		c.must(proto.NetworkSetMetadata, new(set(element, pointer("<rack n='7'><row/></rack>"), k, uri, live|config)), nil)
		check := func(when string) {
			t.Helper()
			want(when+": the running title", "running", get(title, nil, live))
			want(when+": the persistent title", "for <later> & ever", get(title, nil, config))
			want(when+": the current title", "running", get(title, nil, 0))
			want(when+": the description", "line\nand line", get(description, nil, config))
			want(when+": the element", "<rack n=\"7\">\n  <row/>\n</rack>", get(element, uri, live))
		}
		check("at once")
		for flag, text := range map[string]string{"": "<title>running</title>", "--inactive": "<title>for &lt;later&gt; &amp; ever</title>"} {
			xml := d.virsh(strings.Fields("net-dumpxml default " + flag)...)
			for _, part := range []string{text, "<description>line\nand line</description>", `<app:rack xmlns:app="urn:app:1" n="7">`} {
				if !strings.Contains(xml, part) {
					t.Errorf("net-dumpxml %s lacks %s:\n%s", flag, part, xml)
				}
			}
		}
		d.stop()
		d.start(bin("virbrd"))
		c = dial(t, socketRW, 0)
		check("after a restart")

		c.must(proto.NetworkSetMetadata, new(set(element, nil, nil, uri, live|config)), nil)
		c.must(proto.NetworkSetMetadata, new(set(title, pointer(""), nil, nil, live|config)), nil)
		c.refused(proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, Type: title, Flags: config}, 111, 19, absent)
		c.refused(proto.NetworkGetMetadata, &proto.MetadataArgs{Network: net, Type: element, URI: uri}, 111, 19, absent)
		d.virsh("net-undefine", "default")
		c.refused(proto.NetworkSetMetadata, new(set(title, pointer("x"), nil, nil, config)), 55, 19, noTransient)

		net = proto.Network{}
		c.must(proto.NetworkDefineXML, &proto.String{Value: quietXML}, &net)
		c.refused(proto.NetworkSetMetadata, new(set(title, pointer("x"), nil, nil, live)), 55, 19, notRunning)
		c.must(proto.NetworkSetMetadata, new(set(title, pointer("x"), nil, nil, 0)), nil)
		want("the current title of what does not run", "x", get(title, nil, config))
	})
}
