package hooks

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// Op is what happens to a network: the second argument of a script.
type Op string

// The operations of libvirt's network hook.
const (
	OpStart       Op = "start"
	OpStarted     Op = "started"
	OpStopped     Op = "stopped"
	OpPortCreated Op = "port-created"
	OpPortDeleted Op = "port-deleted"
	OpUpdated     Op = "updated"
)

// subop returns libvirt's third argument: "end" for what is over, else
// "begin".
func (op Op) subop() string {
	if op == OpStopped {
		return "end"
	}
	return "begin"
}

// DaemonOp is what happens to the daemon itself.
type DaemonOp string

// The operations of libvirt's daemon hook.
const (
	DaemonStart    DaemonOp = "start"
	DaemonShutdown DaemonOp = "shutdown"
	DaemonReload   DaemonOp = "reload"
)

// Config is what a Runner needs.
type Config struct {
	Dir string       // required: /etc/libvirt/hooks
	Log *slog.Logger // nil: discard

	// Timeout is how long one script may run. Zero: 60 seconds; negative: for
	// ever, as with libvirt.
	Timeout time.Duration
	// Stopping is closed when the daemon is to end: scripts that run then, or
	// begin later, have three seconds. nil: never.
	Stopping <-chan struct{}

	// Getenv reads the daemon's environment, part of which is passed on; nil:
	// [os.LookupEnv].
	Getenv func(string) (string, bool)
}

// Runner runs the scripts of one directory. It may be used by several
// goroutines at once.
type Runner struct {
	dir      string
	log      *slog.Logger
	env      []string
	timeout  time.Duration // 0 or less: none
	stopping <-chan struct{}
	network  atomic.Bool
	daemon   atomic.Bool
}

// New returns a Runner and looks which scripts there are.
func New(cfg Config) *Runner {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Getenv == nil {
		cfg.Getenv = os.LookupEnv
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	r := &Runner{dir: cfg.Dir, log: cfg.Log, env: environment(cfg.Getenv), timeout: cfg.Timeout, stopping: cfg.Stopping}
	r.Scan()
	return r
}

// Scan looks again whether there are scripts at all. As in libvirt this is
// done at start and on SIGHUP only: a script that is put in place later runs
// after the next reload.
func (r *Runner) Scan() {
	r.network.Store(len(r.scripts("network")) > 0)
	r.daemon.Store(len(r.scripts("daemon")) > 0)
}

// Present reports whether the last Scan found a network script.
func (r *Runner) Present() bool { return r.network.Load() }

// Network runs every network script for one operation, each with the document
// on its standard input. All of them run even where one fails; the error joins
// one [*ScriptError] for each that did. Without scripts ran is false and
// nothing happened.
func (r *Runner) Network(ctx context.Context, name string, op Op, doc []byte) (ran bool, err error) {
	if !r.Present() {
		return false, nil
	}
	return r.all(ctx, "network", []string{name, string(op), op.subop(), "-"}, doc)
}

// Daemon runs the daemon scripts. Their results are logged and otherwise
// ignored, as libvirt does.
func (r *Runner) Daemon(ctx context.Context, op DaemonOp) {
	if !r.daemon.Load() {
		return
	}
	args := []string{"-", string(op), "-", string(op)}
	if op == DaemonReload {
		args = []string{"-", string(op), "begin", "SIGHUP"}
	}
	if _, err := r.all(ctx, "daemon", args, nil); err != nil {
		r.log.Warn("daemon hook failed", "step", string(op), "err", err)
	}
}

func (r *Runner) all(ctx context.Context, kind string, args []string, doc []byte) (ran bool, err error) {
	var errs []error
	for _, path := range r.scripts(kind) {
		ran = true
		r.log.Debug("running hook", "step", path)
		if err := r.run(ctx, path, args, doc); err != nil {
			errs = append(errs, err)
		}
	}
	return ran, errors.Join(errs...)
}

// scripts returns the executable files for kind in the order in which they
// run: the script of that name, then those of its directory in byte order.
func (r *Runner) scripts(kind string) []string {
	var found []string
	if path := filepath.Join(r.dir, kind); executable(path) {
		found = append(found, path)
	}
	dir := filepath.Join(r.dir, kind+".d")
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("reading hook directory", "step", dir, "err", err)
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); executable(path) {
			found = append(found, path)
		}
	}
	return found
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0
}

// environment is what libvirt gives its children: the C locale and these
// variables where the daemon has them.
func environment(getenv func(string) (string, bool)) []string {
	env := []string{"LC_ALL=C"}
	for _, key := range strings.Fields("LD_PRELOAD LD_LIBRARY_PATH PATH HOME USER LOGNAME TMPDIR") {
		if v, ok := getenv(key); ok {
			env = append(env, key+"="+v)
		}
	}
	return env
}
