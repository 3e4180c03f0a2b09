package host

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/step"
)

func TestOwnGroup(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, root, dir string }{
		{"systemd", "0::/system.slice/virbrd.service\n", "/sys/fs/cgroup", "/system.slice/virbrd.service"},
		{"both versions", "8:pids:/a/b\n1:name=systemd:/c\n0::/d\n", "/sys/fs/cgroup/pids", "/a/b"},
		{"colons", "0::/a:b\n", "/sys/fs/cgroup", "/a:b"},
		{"outside of a namespace", "0::/../../x\n", "/sys/fs/cgroup", "/x"},
		{"nothing", "\n0:\nx", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			root, dir := ownGroup(tt.text)
			if root != tt.root || dir != tt.dir {
				t.Errorf("%q %q, want %q %q", root, dir, tt.root, tt.dir)
			}
		})
	}
}

// TestLimits: what every Linux has is found, with numbers that can be.
func TestLimits(t *testing.T) {
	t.Parallel()
	h := &Host{cfg: Config{KeepLimits: true}}
	list, err := h.Limits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[step.LimitKind]bool{}
	for _, l := range list {
		found[l.Kind] = true
		if l.Key == "" || l.Value <= 0 || !l.Fixed || l.Free > l.Value {
			t.Errorf("%+v", l)
		}
	}
	for _, kind := range []step.LimitKind{step.LimitInotify, step.LimitWatches, step.LimitFiles, step.LimitProcesses, step.LimitDescriptors} {
		if !found[kind] {
			t.Errorf("limit %d is not found in %+v", kind, list)
		}
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/n"
	for text, want := range map[string][]int64{
		"1024\t0\t9223372036854775807\n": {1024, 0, 9223372036854775807}, "18446744073709551615": {9223372036854775807}, "max\n": nil, "": nil, "-1": nil,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := numbers(path)
		if diff := cmp.Diff(want, got); diff != "" || (err != nil) != (want == nil && text != "") {
			t.Errorf("%q: %v (-want +got)\n%s", text, err, diff)
		}
	}
}
