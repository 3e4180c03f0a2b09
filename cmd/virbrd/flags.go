package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/virbr/virbr/config"
	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/driver/state"
)

// options are the flags of the daemon.
type options struct {
	daemonConf  string // virtnetworkd.conf
	networkConf string // network.conf
	ownConf     string // virbrd.conf

	dirs      state.Dirs
	socketDir string
	pidFile   string

	timeout  int // seconds; negative: not given
	logLevel string
	verbose  bool

	given func(flag string) bool // whether a person gave a flag
}

// Usual places, libvirt's but for our own file.
const (
	daemonConf  = "/etc/libvirt/virtnetworkd.conf"
	networkConf = "/etc/libvirt/network.conf"
	ownConf     = "/etc/virbr/virbrd.conf"
	socketDir   = "/run/libvirt"
	pidFile     = "/run/virtnetworkd.pid"
)

// newRoot returns the command line, which ends in run.
func newRoot(run func(context.Context, *options) error) *cobra.Command {
	o := &options{dirs: state.System()}
	root := &cobra.Command{
		Use:   "virbrd",
		Short: "Serve libvirt's virtual networks in the place of virtnetworkd",
		Long: `virbrd serves libvirt's virtual networks. It takes virtnetworkd's place: it
listens on the same sockets, speaks the same protocol and keeps the same files,
so that virsh and other clients of libvirt work with it unchanged.

It runs as root and in the foreground. Under systemd it takes the sockets of
virtnetworkd.socket, virtnetworkd-ro.socket and virtnetworkd-admin.socket and
reports when it is ready.

Networks do not depend on it: they go on when virbrd stops, and virbrd finds
them again when it starts.

  SIGTERM, SIGINT   stop; networks go on
  SIGHUP            read changed definitions and pools, repair firewall rules and dnsmasq`,
		Example: `  virbrd                                    serve this host
  virbrd --verbose                          and say each step
  virbrd --timeout 120                      end after two idle minutes
  virsh -c network:///system net-list       what a client then sees`,
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o)
		},
	}
	root.SetVersionTemplate("virbrd {{.Version}}\n")
	root.CompletionOptions.DisableDefaultCmd = true
	f := root.Flags()
	o.given = f.Changed
	f.SortFlags = false
	f.StringVarP(&o.daemonConf, "config", "f", daemonConf, "sockets, authentication and limits, as libvirt's virtnetworkd")
	f.StringVar(&o.networkConf, "network-config", networkConf, "the network driver's settings, as libvirt's")
	f.StringVar(&o.ownConf, "virbrd-config", ownConf, "virbrd's own settings")
	f.IntVarP(&o.timeout, "timeout", "t", -1, "end after so many `seconds` without clients and active networks; 0: never")
	f.StringVarP(&o.pidFile, "pid-file", "p", pidFile, "where to keep the process id")
	f.StringVar(&o.socketDir, "socket-dir", socketDir, "where to make the sockets, unless systemd gives them")
	f.StringVar(&o.dirs.Config, "config-dir", o.dirs.Config, "definitions and autostart links")
	f.StringVar(&o.dirs.State, "state-dir", o.dirs.State, "what is known of active networks")
	f.StringVar(&o.dirs.Dnsmasq, "dnsmasq-dir", o.dirs.Dnsmasq, "dnsmasq's files and leases")
	f.StringVar(&o.dirs.Hooks, "hooks-dir", o.dirs.Hooks, "hook scripts")
	f.StringVar(&o.dirs.Own, "run-dir", o.dirs.Own, "virbrd's own files: how to undo what it did")
	f.StringVar(&o.dirs.Lib, "lib-dir", o.dirs.Lib, "what virbrd chose for networks: prefixes and subnets")
	f.StringVar(&o.logLevel, "log-level", "", "debug, info, warn or error (default info)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "say each step: the same as --log-level debug")
	f.BoolP("version", "V", false, "print the version")
	root.AddCommand(newLeases(), newRelease())
	return root
}

// settings are all configuration files together, with flags applied.
type settings struct {
	daemon  *config.Daemon
	network *config.Network
	timeout time.Duration
	pools   driver.Pools
	own     *config.Virbrd

	hookTimeout time.Duration // negative: none
}

// settings reads the configuration. A file may be missing unless its flag was
// given. polkit says whether clients are asked about by default.
func (o *options) settings(polkit bool) (*settings, error) {
	daemon, err := config.ReadDaemon(o.daemonConf, !o.given("config"), polkit)
	if err != nil {
		return nil, err
	}
	if err := daemon.AdoptAccess(filepath.Join(filepath.Dir(o.daemonConf), "libvirtd.conf")); err != nil {
		return nil, err
	}
	network, err := config.ReadNetwork(o.networkConf, !o.given("network-config"))
	if err != nil {
		return nil, err
	}
	own, err := config.ReadVirbrd(o.ownConf, !o.given("virbrd-config"))
	if err != nil {
		return nil, err
	}
	s := &settings{daemon: daemon, network: network, timeout: own.Timeout, pools: poolsOf(own), own: own}
	if s.hookTimeout = own.HookTimeout; s.hookTimeout == 0 {
		s.hookTimeout = -1
	}
	if own.LogLevel != nil {
		daemon.LogLevel = *own.LogLevel
	}
	if daemon.SocketDir == "" || o.given("socket-dir") {
		daemon.SocketDir = o.socketDir
	}
	if o.timeout >= 0 {
		s.timeout = time.Duration(o.timeout) * time.Second
	}
	if own.Metrics != (config.Address{}) {
		s.timeout = 0 // who counts on metrics wants them of an idle daemon, too
	}
	if o.verbose {
		o.logLevel = "debug"
	}
	if o.logLevel != "" {
		if daemon.LogLevel, err = config.ParseLevel(o.logLevel); err != nil {
			return nil, fmt.Errorf("--log-level: %w", err)
		}
	}
	return s, nil
}

// pools reads the pools of addresses, which may have changed.
func (o *options) pools() (driver.Pools, error) {
	own, err := config.ReadVirbrd(o.ownConf, !o.given("virbrd-config"))
	if err != nil {
		return driver.Pools{}, err
	}
	return poolsOf(own), nil
}

func poolsOf(own *config.Virbrd) driver.Pools {
	p := driver.Pools{IPv4: own.SubnetPool, IPv6: own.PrefixPool}
	for _, d := range own.Delegated {
		p.Uplinks = append(p.Uplinks, driver.Uplink{Link: d.Link, Bits: d.Bits})
	}
	return p
}
