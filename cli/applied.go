package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/rpc/client"
)

// reportsDir is where virbrd's hook and agent report what they added to networks of
// libvirt's own daemon.
const reportsDir = "/run/virbr/hook/networks"

// maxReport is how much of a report is read, in bytes.
const maxReport = 1 << 20

// applied is what came of a network's extensions where virbrd's hook adds them.
type applied struct {
	missing bool   // nothing is in force
	failure string // "": all is in force
}

// applied reads the hook's report of a network that libvirt's daemon runs.
func (f *daemonFlags) applied(network string) (applied, error) {
	if filepath.Base(network) != network {
		return applied{missing: true}, nil // such a network has no report
	}
	file, err := os.Open(filepath.Join(f.reports, network+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return applied{missing: true}, nil
	}
	if err != nil {
		return applied{}, fmt.Errorf("reading what the hook reports: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxReport))
	if err != nil {
		return applied{}, fmt.Errorf("reading what the hook reports: %w", err)
	}
	report, err := doctor.ParseAdded(text)
	if err != nil {
		return applied{}, fmt.Errorf("%q: %w", file.Name(), err)
	}
	return applied{failure: report.Error}, nil
}

// state says what a forward comes to that the hook is to add.
func (a *applied) state(f *client.Forward) string {
	switch {
	case f.Phase == client.Inactive:
	case a.missing:
		return "not in force"
	case a.failure != "":
		return "in doubt"
	}
	return state(f)
}

// object says the same in --json.
func (a *applied) object(o forwardJSON) forwardJSON {
	switch {
	case o.State == states[client.Inactive]:
	case a.missing:
		o.State = "not-in-force"
	case a.failure != "":
		o.State, o.Error = "in-doubt", a.failure
	}
	return o
}

func (a *applied) paint(f *client.Forward) func(painter, string) string {
	if f.Phase != client.Inactive && (a.missing || a.failure != "") {
		return painter.red
	}
	return paintOf(f)
}

// remark says what is the matter with a network's extensions; "": nothing.
func (a *applied) remark(network string) string {
	switch {
	case a.missing:
		return fmt.Sprintf("network %s: libvirt runs it, and the hook that adds extensions has not been called; \"virbrd hook --install\"\n"+
			"has libvirt call it, \"virbrd hook --apply %s\" calls it now.\n", network, network)
	case a.failure != "":
		return fmt.Sprintf("network %s: %s\nWhat was in force before that still is. \"virbrd hook --apply %s\" tries again.\n", network, flat(a.failure), network)
	}
	return ""
}
