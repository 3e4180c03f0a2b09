package overlay

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/virbr/virbr/driver/plan"
	"github.com/virbr/virbr/driver/step"
	"github.com/virbr/virbr/hooks"
	"github.com/virbr/virbr/xml"
)

func mustUUID(t *testing.T) xml.UUID {
	t.Helper()
	uuid, ok := xml.ParseUUID(testUUID)
	if !ok {
		t.Fatal("no UUID")
	}
	return uuid
}

// agent runs an agent in a process's place; what it returns comes when it ends.
func (r *rig) agent(ctx context.Context) <-chan error {
	r.t.Helper()
	ended := make(chan error, 1)
	e := New(r.e.cfg)
	go func() { ended <- e.Run(ctx) }()
	r.wait("the agent watches files", func() bool {
		r.host.mu.Lock()
		defer r.host.mu.Unlock()
		return r.host.tell != nil
	})
	return ended
}

// wait waits for what the agent does.
func (r *rig) wait(what string, ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			r.t.Fatalf("waiting until %s:\n%s", what, r.host.State())
		case <-tick.C:
		}
	}
}

// changed says that a file was written, replaced or removed; nobody may listen.
func (r *rig) changed(path string) {
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	if r.host.tell != nil {
		r.host.tell(path)
	}
}

func (r *rig) status(elements string) {
	r.t.Helper()
	r.write(r.dirs.StatusFile("default"), "<networkstatus>"+document(elements)+"</networkstatus>")
	r.changed(r.dirs.StatusFile("default"))
}

func TestAgent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	before := r.host.State()
	r.must(hooks.OpStarted, document(webExt))
	ended := r.agent(t.Context())
	if err := New(r.e.cfg).Run(t.Context()); !errors.Is(err, ErrRuns) {
		t.Errorf("a second agent: %v", err)
	}
	r.agents.Store(0)
	r.must(hooks.OpPortCreated, document(webExt))
	if r.agents.Load() != 0 {
		t.Error("an agent was started though one runs")
	}

	r.status(prefixExt)
	r.wait("edited metadata counts", func() bool { return r.has("fd00:5::1/64") })
	r.status("")
	r.extend(webExt)
	r.changed(r.files.Extensions("default"))
	r.wait("our own file counts", func() bool { return r.report().From == plan.File })
	r.extend("<virbr:mistake/>")
	r.changed(r.files.Extensions("default"))
	r.wait("a mistake is told", func() bool { return strings.Contains(r.report().Error, "mistake") })
	if !r.has("rules virbr0") {
		t.Error("a mistake took the rules away")
	}
	r.extend(prefixExt)
	r.changed(r.files.Extensions("default"))
	r.wait("the mistake is mended", func() bool { return r.report().Error == "" })

	r.host.Kill(r.files.Own() + "/default.pid")
	r.host.Tell(step.Change{Kind: step.ChangeDnsmasq, Network: "default"})
	r.wait("dnsmasq is back", func() bool { return r.has("dnsmasq virbr0") })

	r.must(hooks.OpStopped, document(""))
	r.changed(r.files.Records().Path(mustUUID(t)))
	if err := <-ended; err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	r.clean("the last network has gone", before)
}

// TestAgentFollowsRules: rules that somebody removed come back, and changes that are
// none of ours do nothing.
func TestAgentFollowsRules(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(hooks.OpStarted, document(webExt))
	r.status(webExt)
	ctx, stop := context.WithCancel(t.Context())
	ended := r.agent(ctx)
	up := r.host.State()
	if err := r.host.Run(ctx, step.DelRules{Bridge: "virbr0"}); err != nil {
		t.Fatal(err)
	}
	r.host.Tell(step.Change{Kind: step.ChangeRules, Ours: true, By: "nft (pid 7)"})
	r.wait("the rules are back", func() bool { return r.host.State() == up })
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the agent ended with %v", err)
	}
	if list, err := r.files.Records().List(); err != nil || len(list) != 1 {
		t.Errorf("records %v (%v): the network goes on without an agent", list, err)
	}
}

// TestAgentAdopts: a network that runs and gets extensions is looked after, too.
func TestAgentAdopts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(hooks.OpStarted, document(webExt))
	ended := r.agent(t.Context())
	r.host.AddLink("virbr1", "bridge")
	other := strings.NewReplacer("default", "other", "virbr0", "virbr1", "0001</uuid>", "0002</uuid>", "192.168.122", "192.168.123", "8080", "8081").Replace(document(webExt))
	r.write(r.dirs.StatusFile("other"), "<networkstatus>"+other+"</networkstatus>")
	r.changed(r.dirs.StatusFile("other"))
	r.wait("the other network has rules", func() bool { return r.has("rules virbr1") })

	// Both end without a word of the hook.
	for _, name := range []string{"default", "other"} {
		_ = os.Remove(r.dirs.StatusFile(name))
	}
	r.host.DelLink("virbr0")
	r.host.DelLink("virbr1")
	r.changed(r.dirs.StatusFile("other"))
	r.changed(r.dirs.StatusFile("default"))
	if err := <-ended; err != nil {
		t.Errorf("the agent ended with %v", err)
	}
}
