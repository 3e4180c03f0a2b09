package driver_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/xml"
)

// TestPortsSurviveUpdates: live updates and a reload leave the counts of ports
// as they are, so that a device in use cannot go, and the physical function of
// a pool stays in the running definition. libvirt loses both.
func TestPortsSurviveUpdates(t *testing.T) {
	t.Parallel()
	r := sriov(t)
	pool := r.up("<forward mode='vepa'><interface dev='a'/><interface dev='b'/></forward>")
	for n := range 3 {
		if _, err := r.create(pool, n+1, ""); err != nil {
			t.Fatal(err)
		}
	}
	functions := r.define("<network><name>functions</name><uuid>" + uuid(201).String() + "</uuid><forward mode='passthrough'><pf dev='eth0'/></forward></network>")
	r.start(functions)
	group := func(net driver.Ref, name string) {
		t.Helper()
		if err := r.d.Update(t.Context(), net, request(xml.UpdateAddLast, xml.SectionPortGroup, "<portgroup name='"+name+"'/>", driver.AffectLive)); err != nil {
			t.Fatal(err)
		}
	}
	counts := func(when string) {
		t.Helper()
		doc := r.xml(pool, false)
		for _, want := range []string{"<network connections='3'>", "<interface dev='a' connections='2'/>", "<interface dev='b' connections='1'/>"} {
			if !strings.Contains(doc, want) {
				t.Errorf("%s: no %s in\n%s", when, want, doc)
			}
		}
		if doc := r.xml(functions, false); !strings.Contains(doc, "<pf dev='eth0'/>") {
			t.Errorf("%s: no physical function in\n%s", when, doc)
		}
	}
	counts("at first")
	group(pool, "one")
	group(functions, "one")
	counts("after updates")
	if err := r.d.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	counts("after a reload")
	r.reopen()
	counts("after a restart")
	group(pool, "two")
	remove := func() error {
		return r.d.Update(t.Context(), pool, request(xml.UpdateDelete, xml.SectionForwardInterface, "<interface dev='b'/>", driver.AffectLive))
	}
	refused, ok := errors.AsType[*xml.Error](remove())
	if !ok || refused.Msg != "unable to delete interface 'b' in network 'n'. It is currently being used by 1 domains." {
		t.Errorf("taking a device away from its port: %v", refused)
	}
	if err := r.unplug(pool, 2); err != nil {
		t.Fatal(err)
	}
	if err := remove(); err != nil {
		t.Errorf("taking an unused device away: %v", err)
	}
}
