package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
)

// TestRoom: what is plenty is left alone; what is short is raised before
// anything is started, and where it must not be raised the sysctl and its value
// are named, but only when the network could not run.
func TestRoom(t *testing.T) {
	t.Parallel()
	const served = "<forward mode='nat'/><bridge name='virbr0'/><ip address='10.1.0.1' prefix='24'/>"
	const inotify = "fs/inotify/max_user_instances"
	bridges := map[string]step.Link{}
	for _, name := range []string{"a", "b", "c"} {
		bridges[name] = step.Link{Kind: "bridge"}
	}
	tests := []struct {
		name, def string
		limit     step.Limit
		step      string
		tolerate  bool
		err       string
	}{
		{name: "plenty", limit: step.Limit{Kind: step.LimitInotify, Key: inotify, Value: 128, Free: plan.InotifySpare}},
		{name: "coming", limit: step.Limit{Kind: step.LimitInotify, Key: inotify, Value: 128, Free: 3},
			step: "limit raise fs/inotify/max_user_instances to 384", tolerate: true},
		{name: "there", limit: step.Limit{Kind: step.LimitInotify, Key: inotify, Value: 1024, Free: 0},
			step: "limit raise fs/inotify/max_user_instances to 2048"},
		{name: "no dnsmasq", def: "<forward mode='bridge'/><bridge name='br0'/>", limit: step.Limit{Kind: step.LimitInotify, Key: inotify, Value: 128}},
		{name: "fixed, coming", limit: step.Limit{Kind: step.LimitInotify, Key: inotify, Value: 128, Free: 1, Fixed: true}},
		{name: "fixed", limit: step.Limit{Kind: step.LimitInotify, Key: "user/max_inotify_instances", Value: 128, Fixed: true},
			err: "network 'net' needs 1 more inotify instance, and the host allows 0: set the sysctl user.max_inotify_instances to 384 (now 128)"},
		{name: "enough watches", limit: step.Limit{Kind: step.LimitWatches, Key: "fs/inotify/max_user_watches", Value: 2064}},
		{name: "too few watches", limit: step.Limit{Kind: step.LimitWatches, Key: "fs/inotify/max_user_watches", Value: 2063},
			step: "limit raise fs/inotify/max_user_watches to 4126", tolerate: true},
		{name: "descriptors", limit: step.Limit{Kind: step.LimitDescriptors, Key: "RLIMIT_NOFILE", Value: 1024, Free: 1},
			err: "network 'net' needs 3 more open files, and the host allows 1: set LimitNOFILE= of virbrd.service, or ulimit -n, higher (RLIMIT_NOFILE, now 1024)"},
		{name: "processes", limit: step.Limit{Kind: step.LimitProcesses, Key: "kernel/pid_max", Value: 32768, Free: 100},
			step: "limit raise kernel/pid_max to 65536", tolerate: true},
		{name: "as many as can be", limit: step.Limit{Kind: step.LimitProcesses, Key: "kernel/pid_max", Value: 1 << 22, Free: 100},
			step: "limit raise kernel/pid_max to 4194304", tolerate: true},
		{name: "files", limit: step.Limit{Kind: step.LimitFiles, Key: "fs/file-max", Value: 10000, Free: -5},
			step: "limit raise fs/file-max to 20000"},
		{name: "control group", limit: step.Limit{Kind: step.LimitTasks, Key: "/sys/fs/cgroup/a/pids.max", Value: 100, Free: 2},
			err: "network 'net' needs 3 more processes, and the host allows 2: set TasksMax= of virbrd.service, or pids.max, higher (/sys/fs/cgroup/a/pids.max, now 100)"},
		{name: "few neighbours", limit: step.Limit{Kind: step.LimitNeighbours, Key: "net/ipv4/neigh/default/gc_thresh3", Value: 32}},
		{name: "many neighbours", limit: step.Limit{Kind: step.LimitNeighbours, Key: "net/ipv4/neigh/default/gc_thresh3", Value: 31},
			step: "limit raise net/ipv4/neigh/default/gc_thresh3 to 287", tolerate: true},
		{name: "many neighbours, fixed", limit: step.Limit{Kind: step.LimitNeighbours, Key: "net/ipv4/neigh/default/gc_thresh3", Value: 31, Fixed: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.def == "" {
				tt.def = served
			}
			steps, err := plan.Room(parse(t, tt.def), step.Facts{Links: bridges}, []step.Limit{tt.limit})
			got, text := step.Step{}, ""
			if len(steps) > 0 {
				got, text = steps[0], steps[0].Do.String()
			}
			problem := ""
			if err != nil {
				problem = err.Error()
			}
			if diff := cmp.Diff([]any{tt.step, tt.tolerate, tt.err}, []any{text, got.Tolerate, problem}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got.Undo != nil {
				t.Errorf("it would be taken back: %v", got.Undo)
			}
		})
	}
}
