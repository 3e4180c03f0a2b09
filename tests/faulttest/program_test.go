package faulttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Launched()
	os.Exit(m.Run())
}

// TestFault has a Go program (the test's own binary) make directories and files.
func TestFault(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("FAULTTEST_DIR"); dir != "" {
		for _, name := range []string{"a", "b", "c"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				_, _ = os.Stdout.WriteString(err.Error() + "\n")
			}
		}
		return
	}
	tests := []struct {
		name  string
		fault Fault
		want  []string // directories
		says  string
		dies  bool
	}{
		{"nothing", Fault{}, []string{"a", "b", "c"}, "", false},
		{"second fails", Fault{At: 2, Errno: unix.ENOSPC}, []string{"a", "c"}, "b: no space left on device", false},
		{"all fail", Fault{At: 1, Errno: unix.EPERM, Times: 100}, nil, "c: operation not permitted", false},
		{"killed", Fault{At: 2}, []string{"a"}, "", true},
	}
	for _, tt := range tests {
		dir := t.TempDir()
		var out strings.Builder
		cmd := exec.Command(os.Args[0], "-test.run=^TestFault$", "-test.count=1")
		cmd.Env = append(os.Environ(), "FAULTTEST_DIR="+dir)
		cmd.Stdout = &out
		tt.fault.Only = func(c Call) bool { return c.Name() == "mkdirat" && strings.HasPrefix(c.Path, dir) }
		p := Start(t, cmd, tt.fault)
		err := cmd.Wait()
		if dies := err != nil && strings.Contains(err.Error(), "killed"); dies != tt.dies {
			t.Errorf("%s: %v", tt.name, err)
		}
		names, _ := filepath.Glob(filepath.Join(dir, "?"))
		for i, name := range names {
			names[i] = filepath.Base(name)
		}
		if got, want := strings.Join(names, " "), strings.Join(tt.want, " "); got != want || !strings.Contains(out.String(), tt.says) {
			t.Errorf("%s: directories %q, want %q; output %q, want %q in it", tt.name, got, want, out.String(), tt.says)
		}
		if hit := p.Hit(); hit != (tt.fault.At != 0) {
			t.Errorf("%s: hit %v", tt.name, hit)
		}
		if n := len(p.Calls()); n != 3 && !tt.dies {
			t.Errorf("%s: %d calls were counted, want 3", tt.name, n)
		}
	}
}
