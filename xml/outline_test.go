package xml

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestOutline(t *testing.T) {
	t.Parallel()
	const uuid = "c0ffee00-0000-4000-8000-000000000001"
	id, _ := ParseUUID(uuid)
	plain := "<network><name>a</name><uuid>" + uuid + "</uuid><bridge name='b'/></network>"
	extended := "<network><name>a</name><metadata><x:y xmlns:x='urn:x'/><virbr:network xmlns:virbr='urn:virbr:network:1'/></metadata></network>"
	for _, tt := range []struct {
		name, doc string
		want      *Outline // nil: refused
	}{
		{"definition", plain, &Outline{Name: "a", UUID: id, HasUUID: true}},
		{"hook", "<hookData>\n  " + plain + "<networkport><uuid>" + uuid + "</uuid></networkport></hookData>", &Outline{Name: "a", UUID: id, HasUUID: true}},
		{"hook of libvirt 5.4", "<hookData><interface type='network'/>" + plain + "<domain><name>vm</name></domain></hookData>", &Outline{Name: "a", UUID: id, HasUUID: true}},
		{"status file", "<networkstatus><class_id bitmap='0-2'/><floor sum='0'/>" + plain + "</networkstatus>", &Outline{Name: "a", UUID: id, HasUUID: true}},
		{"extended", extended, &Outline{Name: "a", Extended: true}},
		{"what we would refuse is none of our business", "<network><name>a</name><bridge stp='perhaps'/></network>", &Outline{Name: "a"}},
		{"another namespace", "<network><name>a</name><metadata><network xmlns='urn:virbr:network:2'/></metadata></network>", &Outline{Name: "a"}},
		{"outside of metadata", "<network><name>a</name><network xmlns='urn:virbr:network:1'/></network>", &Outline{Name: "a"}},
		{"no network", "<hookData><domain/></hookData>", nil},
		{"not a hook's", "<domain><network/></domain>", nil},
		{"cut short", "<hookData><network><name>a</name>", nil},
		{"empty", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseOutline([]byte(tt.doc))
			if (err != nil) != (tt.want == nil) {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				wantTyped(t, err)
			}
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(Outline{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// FuzzParseOutline wants that what a hook reads is refused with an *Error or
// leads to a definition or its refusal, and that both readers agree.
func FuzzParseOutline(f *testing.F) {
	f.Add([]byte("<hookData>\n  <network connections='1'><name>a</name><metadata><v:network xmlns:v='urn:virbr:network:1'/></metadata></network></hookData>"))
	f.Add([]byte("<networkstatus><network><name>a</name><uuid>x</uuid></network></networkstatus>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		o, err := ParseOutline(doc)
		if err != nil {
			wantTyped(t, err)
			return
		}
		def, err := o.Network()
		if err != nil {
			wantTyped(t, err)
			return
		}
		if def.Name != o.Name || o.HasUUID && def.UUID != o.UUID {
			t.Fatalf("outline %q %s, definition %q %s", o.Name, o.UUID, def.Name, def.UUID)
		}
	})
}
