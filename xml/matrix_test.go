package xml

import (
	"errors"
	"strings"
	"testing"
)

// TestUpdateMatrix: what each command does with each section. An item that is
// new is added, one that is there is changed or goes; whole parts of a network,
// and items that have no key to find them by, are not changed.
func TestUpdateMatrix(t *testing.T) {
	t.Parallel()
	refused := [5]string{}
	for c := range refused {
		refused[c] = "section of network 'n'"
	}
	for section, tt := range map[UpdateSection]struct {
		added, there string    // documents
		refusals     [5]string // by command; "": it works
	}{
		SectionBridge:           {"<bridge/>", "<bridge/>", refused},
		SectionDomain:           {"<domain/>", "<domain/>", refused},
		SectionIP:               {"<ip/>", "<ip/>", refused},
		SectionForward:          {"<forward/>", "<forward/>", refused},
		SectionForwardPF:        {"<pf dev='a'/>", "<pf dev='a'/>", refused},
		SectionIPDHCPHost:       {"<host name='h9' ip='10.0.0.9'/>", "<host mac='00:11:22:33:44:55' name='h1' ip='10.0.0.30'/>", [5]string{}},
		SectionIPDHCPRange:      {"<range start='10.0.0.50' end='10.0.0.60'/>", "<range start='10.0.0.10' end='10.0.0.20'/>", [5]string{UpdateModify: "dhcp ranges cannot be modified, only added or deleted"}},
		SectionForwardInterface: {"<interface dev='eth9'/>", "<interface dev='eth0'/>", [5]string{UpdateModify: "forward interface entries cannot be modified, only added or deleted"}},
		SectionPortGroup:        {"<portgroup name='g9'/>", "<portgroup name='g2'/>", [5]string{}},
		SectionDNSHost:          {"<host ip='10.0.0.9'><hostname>z</hostname></host>", "<host ip='10.0.0.5'><hostname>a</hostname></host>", [5]string{}},
		SectionDNSTXT:           {"<txt name='t9' value='v'/>", "<txt name='t1' value='v'/>", [5]string{}},
		SectionDNSSRV:           {"<srv service='x' protocol='tcp'/>", "<srv service='q' protocol='udp'/>", [5]string{UpdateModify: "DNS SRV records cannot be modified, only added or deleted"}},
	} {
		for command := UpdateModify; command <= UpdateAddFirst; command++ {
			doc, other := tt.added, tt.there
			if command == UpdateModify || command == UpdateDelete {
				doc, other = tt.there, tt.added
			}
			t.Run(section.String()+" "+command.String(), func(t *testing.T) {
				t.Parallel()
				n := mustParse(t, base)
				err := n.Update(command, section, -1, []byte(doc))
				if want := tt.refusals[command]; want != "" {
					refusal, ok := errors.AsType[*Error](err)
					if !ok || refusal.Kind != KindNotSupported || !strings.Contains(refusal.Msg, want) {
						t.Errorf("got %v, want %q", err, want)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if n.Format(0) == base && command != UpdateModify {
					t.Error("nothing has changed")
				}
				// What fits no longer, or does not fit yet, is an operation that
				// cannot be.
				wantOperation(t, mustParse(t, base).Update(command, section, -1, []byte(other)))
			})
		}
	}
}

func wantOperation(t *testing.T, err error) {
	t.Helper()
	if refusal, ok := errors.AsType[*Error](err); !ok || refusal.Kind != KindOperation {
		t.Errorf("got %v, want an operation that is not valid", err)
	}
}
