package overlay

import "testing"

// FuzzParseRecord: a record of what was added to a network is refused, or can be
// read as what takes it back.
func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"network":"lab","uuid":"6f6c0c1e-7d1b-4c52-9a52-0000000000b4","bridge":"virbr0","index":3,"definition":"<network/>",` +
		`"steps":[{"do":[{"op":"route-guest","args":{"Bridge":"virbr0","Address":"192.0.2.7"}}],"undo":[{"op":"unroute-guest","args":{"Bridge":"virbr0","Address":"192.0.2.7"}}]}]}`))
	f.Add([]byte(`{"uuid":"6f6c0c1e-7d1b-4c52-9a52-0000000000b4","made":"<network><name>a</name></network>","reach":{"Ext":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			return
		}
		for _, s := range r.Steps {
			_ = s.Do.String()
			if s.Undo != nil {
				_ = s.Undo.String()
			}
		}
		if report, err := parseReport("r", data); err == nil {
			_ = report.Network
		}
	})
}
