package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestPaintsTerminalsOnly(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close() //nolint:errcheck // nothing was written
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if got := painterFor(terminal).red("x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("terminal: %q", got)
	}
	if got := painterFor(file).red("x") + painterFor(&bytes.Buffer{}).bold("y"); got != "xy" {
		t.Errorf("file and buffer: %q", got)
	}
	t.Setenv("NO_COLOR", "1")
	if got := painterFor(terminal).red("x"); got != "x" {
		t.Errorf("NO_COLOR: %q", got)
	}
}
