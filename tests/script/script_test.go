package script

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/virbr/virbr/tests/binaries"
	"github.com/virbr/virbr/tests/daemontest"
)

var update = flag.Bool("update", false, "rewrite what the scripts compare with")

// binEnv is where TestMain leaves the place of the binaries for the tests.
const binEnv = "VIRBR_SCRIPT_BIN"

func TestMain(m *testing.M) {
	binaries.Main(m, binEnv, func(dir string) error { return binaries.Build(dir, "-ldflags", "-X main.version=v1.2.3-test") })
}

// daemonNet is the network of the daemon that scripts find behind $SOCKET. The
// sockets $LIBVIRT97 and $LIBVIRT90 are the same daemon passing for libvirt's.
const daemonNet = `<network>
  <name>lab</name>
  <forward mode='nat'/>
  <bridge name='virbr7'/>
  <ip address='192.0.2.1' prefix='24'>
    <dhcp>
      <range start='192.0.2.100' end='192.0.2.200'/>
      <host mac='52:54:00:00:00:0a' name='web1' ip='192.0.2.10'/>
    </dhcp>
  </ip>
</network>`

// startDaemon starts a daemon for one script. It has the networks lab, which
// runs, and idle, which does not.
func startDaemon(ctx context.Context, env *testscript.Env) error {
	dir, err := os.MkdirTemp("", "virbr-script")
	if err != nil {
		return err
	}
	env.Defer(func() { _ = os.RemoveAll(dir) })
	d, stop, err := daemontest.Start(ctx, dir)
	if err != nil {
		return err
	}
	env.Defer(func() { _ = stop() })
	env.Setenv("SOCKET", d.Socket)
	for name, pose := range map[string]daemontest.Pose{"LIBVIRT97": daemontest.Libvirt97, "LIBVIRT90": daemontest.Libvirt90} {
		path := filepath.Join(dir, name)
		end, err := daemontest.StartRelay(path, d.Socket, pose)
		if err != nil {
			return err
		}
		env.Defer(func() { _ = end() })
		env.Setenv(name, path)
	}
	idle := "<network><name>idle</name><bridge name='virbr8'/></network>"
	return errors.Join(d.Add(ctx, daemonNet, true), d.Add(ctx, idle, false))
}

func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", os.Getenv(binEnv)+string(filepath.ListSeparator)+os.Getenv("PATH"))
			return startDaemon(t.Context(), env)
		},
	})
}
