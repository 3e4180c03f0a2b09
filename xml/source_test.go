package xml

import "testing"

// TestSources: who may use a forward is read as people write it, and printed in one
// way.
func TestSources(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"203.0.113.7":                        "203.0.113.7",
		"203.0.113.7/24":                     "203.0.113.0/24",
		" 203.0.113.0/24,2001:db8::/32 ":     "203.0.113.0/24,2001:db8::/32",
		"2001:DB8::1\t10.0.0.0/8\n192.0.2.1": "10.0.0.0/8,192.0.2.1,2001:db8::1",
		"10.1.0.0/16, 10.0.0.0/8, 10.2.3.4":  "10.0.0.0/8",
		"0.0.0.0/0 ::/0":                     "0.0.0.0/0,::/0",
		"192.0.2.1,,192.0.2.1":               "192.0.2.1",
	} {
		from, err := ParseSources(text)
		if got := (&PortForward{From: from}).Sources(); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
		f := PortForward{Proto: "tcp", Guest: "web1", From: from}
		made, err := ParsePortForward([]byte(f.XML()))
		if err != nil || !made.Equal(&f) {
			t.Errorf("%q: %v, %v", text, made, err)
		}
	}
}

// TestForwardsOfSources: a forward for some is before one for all; it is in the way of
// one for the same, and one for all of both.
func TestForwardsOfSources(t *testing.T) {
	t.Parallel()
	of := func(guest, from string) PortForward {
		f := PortForward{Proto: "tcp", Guest: guest, Ranges: []ForwardRange{{Start: 22}}}
		if from != "" {
			f.From, _ = ParseSources(from)
		}
		return f
	}
	for _, tt := range []struct {
		name string
		have []PortForward
		add  PortForward
		at   int
		ok   bool
	}{
		{"for some before for all", []PortForward{of("pot", "")}, of("web1", "10.0.0.0/8"), First, true},
		{"for some behind for all", []PortForward{of("pot", "")}, of("web1", "10.0.0.0/8"), Last, false},
		{"for all behind for some", []PortForward{of("web1", "10.0.0.0/8")}, of("pot", ""), Last, true},
		{"for all before for some", []PortForward{of("web1", "10.0.0.0/8")}, of("pot", ""), First, false},
		{"for others", []PortForward{of("web1", "10.0.0.0/8"), of("pot", "")}, of("web2", "192.0.2.1"), First, true},
		{"for the same", []PortForward{of("web1", "10.0.0.0/8")}, of("web2", "10.0.0.0/8"), Last, false},
	} {
		e := &Extensions{Forwards: tt.have}
		if err := e.AddForward(tt.add, tt.at); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
