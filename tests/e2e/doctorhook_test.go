package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/virbr/virbr/doctor"
	"github.com/virbr/virbr/tests/netnstest"
)

// TestDoctorHook: faults of virbr's hook beside Debian's libvirtd, and of its agent.
func TestDoctorHook(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "libvirtd", "iptables", "ip6tables", "python3", "ss", "tail")
		healthy(t)
		const forward = "<virbr:portForward proto='tcp' guest='192.168.122.10'><virbr:range start='8080' to='80'/></virbr:portForward>"
		d := startLibvirtd(t)
		d.up("default", hookedXML)
		shell := func(script string) func(t *testing.T) {
			return func(t *testing.T) { run(t, "sh", "-ec", script) }
		}
		(&fault{name: "no hook", want: []string{"hook-missing"}, seen: "/etc/virbr/networks/default.xml",
			inject: func(t *testing.T) { extendFile(t, "default", forward) }}).try(t)
		agentPID(t)
		const end = "pid=$(cat /run/virbr/hook/agent.pid); kill $pid; tail --pid=$pid -f /dev/null; "
		(&fault{name: "the agent died", want: []string{"agent-dead"}, seen: "nobody holds the agent's lock", inject: shell(end)}).try(t)
		agentPID(t)
		(&fault{name: "the hook was not called", want: []string{"hook-uncalled"},
			inject: shell(end + "rm /etc/virbr/networks/default.xml; " + bin("virbrd") + " hook --apply; " +
				`echo "<virbr:network xmlns:virbr='urn:virbr:network:1'>` + forward + `</virbr:network>" > /etc/virbr/networks/default.xml`)}).try(t)
		agentPID(t)

		// A port that somebody has is left to him until it is free.
		server := exec.Command("python3", "-c", "import socket, signal; s = socket.socket(); s.bind(('0.0.0.0', 8081)); s.listen(); signal.pause()")
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
		netnstest.Wait(t, "the server listens", func() error {
			if text := run(t, "ss", "-Htlnp", "src", ":8081"); !strings.Contains(text, "python3") {
				return errors.New(text)
			}
			return nil
		})
		listed := func(what, want string, active int) {
			t.Helper()
			netnstest.Wait(t, what, func() error {
				text := mustVirbr(t, "forward", "list", "default")
				if strings.Count(text, "active to 192.168.122.10") != active || !strings.Contains(text, want) {
					return errors.New(text)
				}
				return nil
			})
		}
		two := forward + strings.Replace(forward, "8080", "8081", 1)
		extendFile(t, "default", two)
		listed("a taken port is told", fmt.Sprintf("taken by python3 (pid %d)", server.Process.Pid), 1)
		_ = server.Process.Kill()
		_ = server.Wait()
		listed("the port was given back", "8081", 2)

		// What cannot be had leaves in force what was.
		extendFile(t, "default", two+"<virbr:ipv6 advprefix='fd00:5::/64' hostid='ipv4'/>")
		var failed doctor.Finding
		netnstest.Wait(t, "the agent's error is found", func() error {
			r, err := consult(t)
			if err != nil {
				return err
			}
			list := finding(r, "hook-failed")
			if len(list) != 1 || !strings.Contains(list[0].Evidence[0], "hostid") {
				return errors.New(show(r.Findings))
			}
			failed = list[0]
			return nil
		})
		extendFile(t, "default", two)
		mend(t, failed)
		well(t, "after the file was corrected")
		listed("both are in force", "8081", 2)
		run(t, bin("virbrd"), "hook", "--uninstall")
		if text := mustVirbr(t, "forward", "list", "default"); strings.Count(text, "not in force") != 2 || !strings.Contains(text, "virbrd hook --install") {
			t.Errorf("virbr forward list without a hook:\n%s", text)
		}
	})
}

// TestDoctorTasks: a control group that lets virbrd start no dnsmasq.
func TestDoctorTasks(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		healthy(t)
		mount := func(kind, data string) error { return syscall.Mount(kind, "/sys/fs/cgroup/pids", kind, 0, data) }
		if err := syscall.Mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir("/sys/fs/cgroup/pids", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := mount("cgroup", "pids"); err != nil {
			netnstest.Need(t, "needs the pids controller of cgroup v1: "+err.Error()+"; run it where systemd.unified_cgroup_hierarchy=0, or without systemd")
		}
		group := fmt.Sprintf("/sys/fs/cgroup/pids/virbr-test-%d", os.Getpid())
		if err := os.Mkdir(group, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			netnstest.Wait(t, "the control group is empty", func() error { return os.Remove(group) })
		})
		d := startVirbrd(t)
		write(t, group+"/cgroup.procs", fmt.Sprint(d.cmd.Process.Pid))
		(&fault{name: "few processes", want: []string{"tasks-limit"}, seen: group + "/pids.max = 20",
			inject: func(t *testing.T) { write(t, group+"/pids.max", "20") }}).try(t)
	})
}

// TestDoctorFailedStart: why autostart failed is told where nothing else tells of it, until
// the network starts.
func TestDoctorFailedStart(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		healthy(t)
		const refuse = "/etc/libvirt/hooks/refuse"
		if err := os.MkdirAll("/etc/libvirt/hooks", 0o755); err != nil {
			t.Fatal(err)
		}
		script := "#!/bin/sh\ncat > /dev/null\n[ ! -e " + refuse + " ] || { echo not today >&2; exit 1; }\n"
		if err := os.WriteFile("/etc/libvirt/hooks/network", []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		d := startVirbrd(t)
		d.up("nat", handed["nat"])
		d.virsh("net-autostart", "nat")
		d.virsh("net-destroy", "nat")
		write(t, refuse, "")
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		netnstest.Wait(t, "doctor tells why autostart failed", func() error {
			if f := finding(diagnose(t), "not-started"); len(f) != 1 || !strings.Contains(strings.Join(f[0].Evidence, "\n"), "not today") {
				return fmt.Errorf("findings: %+v", f)
			}
			return nil
		})
		if err := os.Remove(refuse); err != nil {
			t.Fatal(err)
		}
		d.virsh("net-start", "nat")
		well(t, "after one that did not")
		d.virsh("net-destroy", "nat")
		if f := finding(diagnose(t), "not-started"); len(f) != 1 || strings.Contains(strings.Join(f[0].Evidence, "\n"), "not today") {
			t.Errorf("after it ran: %+v", f)
		}
	})
}

// TestDoctorZone: a bridge that somebody took out of its zone of the real firewalld.
func TestDoctorZone(t *testing.T) {
	t.Parallel()
	netnstest.Run(t, func(t *testing.T) {
		programs(t)
		netnstest.NeedProgram(t, "firewalld", "firewall-cmd", "dbus-daemon", "bash")
		healthy(t)
		netnstest.PrivateFirewalld(t)
		startFirewalld(t)
		d := startVirbrd(t)
		d.up("default", hookedXML)
		dropped := []string{"forward-dropped", "input-dropped"}
		(&fault{name: "in no zone", want: append(dropped, "zone-left"), seen: "--zone=virbr --change-interface=virbr0",
			inject: func(t *testing.T) { run(t, "firewall-cmd", "--zone=virbr", "--remove-interface=virbr0") }}).try(t)
		d.stop()
		(&fault{name: "no zone", want: append(dropped, "zone-missing"), seen: "virbr0 is in none",
			inject: func(t *testing.T) {
				run(t, "sh", "-ec", `firewall-cmd --permanent --delete-policy=virbr-in; firewall-cmd --permanent --delete-zone=virbr; firewall-cmd --reload`)
			}}).try(t)
		(&fault{name: "in no zone, though libvirt's is there", want: append(dropped, "zone-left"), seen: "--zone=libvirt --change-interface=virbr0",
			inject: func(t *testing.T) { run(t, "firewall-cmd", "--zone=libvirt", "--remove-interface=virbr0") }}).try(t)
	})
}

// startFirewalld starts the real firewalld on a system bus of the test's own.
func startFirewalld(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll("/run/dbus", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"dbus-daemon", "--system", "--nofork", "--nopidfile"}, {"firewalld", "--nofork", "--nopid", "--log-file=/dev/null"}} {
		cmd := exec.Command(args[0], args[1:]...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		netnstest.Wait(t, args[0]+" runs", func() error {
			if args[0] == "firewalld" {
				return exec.Command("firewall-cmd", "--state").Run()
			}
			_, err := os.Stat("/run/dbus/system_bus_socket")
			return err
		})
	}
}
