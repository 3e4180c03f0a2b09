package xml

import (
	"strings"
	"testing"
)

// FuzzParseStatus: what is accepted of a daemon's notes about a running network
// survives being written and read.
func FuzzParseStatus(f *testing.F) {
	network := inside("<forward mode='hostdev'><pf dev='eth0'/><address type='pci' bus='1'/></forward>")
	f.Add([]byte("<networkstatus><class_id bitmap='0-2,5'/><floor sum='7'/><taint flag='hook-script'/>" + network + "</networkstatus>"))
	f.Add([]byte("<networkstatus><firewall name='fwRemoval'><fwGroup ignoreErrors='1'><action layer='ipv4' backend='nft' ignoreErrors='yes'><args><item>a&amp;</item></args></action></fwGroup></firewall>" +
		inside("<ip address='10.0.0.1' prefix='24'/>") + "</networkstatus>"))
	f.Add([]byte(network))
	f.Fuzz(func(t *testing.T, doc []byte) {
		s, err := ParseStatus(doc)
		if err != nil {
			wantTyped(t, err)
			return
		}
		once := s.Format()
		again, err := ParseStatus([]byte(once))
		if err != nil {
			t.Fatalf("our own form is refused: %v\n%s", err, once)
		}
		// libvirt prints metadata that lost all its elements once more.
		once = strings.Replace(once, "    <metadata/>\n", "", 1)
		if twice := again.Format(); twice != once {
			t.Fatalf("unstable form:\n%s\n%s", once, twice)
		}
	})
}
