package xml

import (
	"errors"
	"testing"
)

// TestOrigins: errors have the domains that libvirt 9.0 gives them.
func TestOrigins(t *testing.T) {
	t.Parallel()
	named := func(more string) string { return "<network><name>n</name>" + more + "</network>" }
	for doc, want := range map[string]Origin{
		"":                                    OriginNetwork,
		"<network":                            OriginNetwork,
		"<domain/>":                           OriginXML,
		"<network/>":                          OriginNetwork,
		"<network><name>a/b</name></network>": OriginXML,
		named("<dns enable='x'/>"):            OriginXML,
		named("<ip address='x'/>"):            OriginNetwork,
		named("<ip address='10.1.1.1' prefix='24'><dhcp><range start='x' end='10.1.1.9'/></dhcp></ip>"):        OriginHelper,
		named("<ip address='10.1.1.1' prefix='24'><dhcp><range start='10.2.1.8' end='10.2.1.9'/></dhcp></ip>"): OriginHelper,
		named("<route address='x' gateway='10.1.1.1'/>"):                                                       OriginNetwork,
		named("<route address='10.1.0.0' prefix='16'/>"):                                                       OriginNetwork,
		named("<forward mode='bridge'/><bridge name='b'/><vlan><tag id='5000'/></vlan>"):                       OriginHelper,
		named("<virtualport type='x'/>"):                                                                       OriginHelper,
		named("<bandwidth><inbound peak='1'/></bandwidth>"):                                                    OriginHelper,
		named("<forward mode='bridge'/><ip address='10.1.1.1' prefix='24'/>"):                                  OriginNetwork,
	} {
		def, err := ParseNetwork([]byte(doc))
		if err == nil {
			err = def.Validate()
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Origin != want {
			t.Errorf("%q: origin %d of %v, want %d", doc, e.Origin, err, want)
		}
	}
	_, err := ParsePort([]byte("<networkport"))
	if e, ok := errors.AsType[*Error](err); !ok || e.Origin != OriginNetwork {
		t.Errorf("a port that is not XML: %v", err)
	}
}
