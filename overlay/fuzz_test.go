package overlay

import (
	"encoding/json"
	"testing"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/state"
)

// FuzzParseRecord: a record of what was added to a network is refused, or can be
// read as what takes it back.
func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"network":"lab","uuid":"6f6c0c1e-7d1b-4c52-9a52-0000000000b4","bridge":"virbr0","index":3,"definition":"<network/>",` +
		`"steps":[{"do":[{"op":"route-guest","args":{"Bridge":"virbr0","Address":"192.0.2.7"}}],"undo":[{"op":"unroute-guest","args":{"Bridge":"virbr0","Address":"192.0.2.7"}}]}]}`))
	f.Add([]byte(`{"uuid":"6f6c0c1e-7d1b-4c52-9a52-0000000000b4","made":"<network><name>a</name></network>","reach":{"Ext":{}}}`))
	f.Add([]byte(`{"uuid":"6f6c0c1e-7d1b-4c52-9a52-0000000000b4","steps":[{"do":[],"undo":[{"op":"del-rules","args":{"Bridge":"virbr0"}}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var row state.OverlayRecord
		if err := json.Unmarshal(data, &row); err != nil {
			return
		}
		if r := revived(&row); r.Resolution != nil {
			_, _ = r.Resolution.Claims()
		}
		for _, s := range row.Steps {
			_ = s.Key()
			if s.Do != nil {
				_ = s.Do.String()
			}
			if s.Undo != nil {
				_ = s.Undo.String()
			}
		}
		var report plan.Report
		if json.Unmarshal(data, &report) == nil {
			_ = report.Network
		}
	})
}
