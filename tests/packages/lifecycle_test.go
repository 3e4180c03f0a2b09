package packages

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/debiantest"
	"github.com/virbr/virbr/tests/netnstest"
)

// manager installs packages, as shell functions: install VERSION, erase, and
// purge where there is such a thing.
type manager struct {
	name, functions string
}

var managers = []manager{
	{"deb", `
		install() { dpkg --force-unsafe-io -i /dist/virbr_$1_*.deb; }
		erase() { dpkg -r virbr; }
		purge() { dpkg -P virbr; }`},
	{"rpm", `
		install() { $RPM -U --nodeps /dist/virbr-$1-1.*.rpm; }
		erase() { $RPM -e virbr; }`},
}

// state says what became of the default network, and of what is made on the way.
const state = `
cd /etc/libvirt/qemu/networks 2>/dev/null || cd /
if [ -e default.xml ]; then echo default; else echo none; fi
! grep -q '<domain' default.xml 2>/dev/null || echo edited
[ ! -L autostart/default.xml ] || echo autostart
[ ! -e /usr/share/polkit-1/actions/org.libvirt.unix.policy ] || grep -o 'Installed by virbr\|theirs' /usr/share/polkit-1/actions/org.libvirt.unix.policy
`

// What people do to the network, as the daemon and editors do it.
const (
	edit     = "sed -i \"s|</network>|<domain name='lab'/></network>|\" /etc/libvirt/qemu/networks/default.xml\n"
	autoOff  = "rm /etc/libvirt/qemu/networks/autostart/default.xml\n"
	undefine = "rm /etc/libvirt/qemu/networks/autostart/default.xml /etc/libvirt/qemu/networks/default.xml\n"
	policy   = "mkdir -p /usr/share/polkit-1/actions; echo theirs >/usr/share/polkit-1/actions/org.libvirt.unix.policy\n"
)

var lives = []struct {
	name, script string
	only         string // deb or rpm; empty: both
	want         string
}{
	{name: "install", script: "install 1.0", want: "default autostart Installed by virbr"},
	{name: "upgrade", script: "install 1.0; install 1.1", want: "default autostart Installed by virbr"},
	{name: "edited", script: "install 1.0\n" + edit + "install 1.1", want: "default edited autostart Installed by virbr"},
	{name: "undefined", script: "install 1.0\n" + undefine + "install 1.1", want: "none Installed by virbr"},
	{name: "autostart off", script: "install 1.0\n" + autoOff + "install 1.1", want: "default Installed by virbr"},
	{name: "somebody's is there", want: "default Installed by virbr",
		script: "mkdir -p /etc/libvirt/qemu/networks; echo '<network/>' >/etc/libvirt/qemu/networks/default.xml; install 1.0; install 1.1"},
	{name: "libvirt's was removed", want: "none Installed by virbr",
		script: "mkdir -p /usr/share/libvirt/networks; touch /usr/share/libvirt/networks/default.xml; install 1.0; install 1.1"},
	{name: "libvirt's polkit actions first", script: policy + "install 1.0; install 1.1", want: "default autostart theirs"},
	{name: "libvirt's polkit actions later", script: "install 1.0\n" + policy + "install 1.1", want: "default autostart theirs"},
	{name: "erased, their polkit actions stay", script: "install 1.0\n" + policy + "erase", only: "rpm", want: "none theirs"},
	{name: "no /proc", script: "umount /proc; install 1.0; mount -t proc proc /proc", want: "default autostart Installed by virbr"},

	{name: "removed", script: "install 1.0; erase", only: "deb", want: "default autostart"},
	{name: "removed and back", script: "install 1.0\n" + edit + "erase; install 1.1", only: "deb", want: "default edited autostart Installed by virbr"},
	{name: "undefined, removed and back", script: "install 1.0\n" + undefine + "erase; install 1.1", only: "deb", want: "none Installed by virbr"},
	{name: "purged", script: "install 1.0; purge", only: "deb", want: "none"},
	{name: "edited and purged", script: "install 1.0\n" + edit + "erase; purge", only: "deb", want: "none"},
	{name: "somebody's, and purged", only: "deb", want: "default",
		script: "mkdir -p /etc/libvirt/qemu/networks; echo '<network/>' >/etc/libvirt/qemu/networks/default.xml; install 1.0; purge"},
	{name: "another in its place, and purged", only: "deb", want: "default",
		script: "install 1.0\n" + undefine + "echo '<network/>' >/etc/libvirt/qemu/networks/default.xml; purge"},

	{name: "erased", script: "install 1.0; erase", only: "rpm", want: "none"},
	{name: "edited and erased", script: "install 1.0\n" + edit + "erase", only: "rpm", want: "default edited autostart"},
	{name: "erased and back", script: "install 1.0; erase; install 1.1", only: "rpm", want: "default autostart Installed by virbr"},
}

// TestLives holds the table of docs/packages.md against dpkg and rpm.
func TestLives(t *testing.T) {
	t.Parallel()
	debiantest.Need(t, debiantest.Debian12)
	for _, m := range managers {
		for _, tt := range lives {
			if tt.only != "" && tt.only != m.name {
				continue
			}
			t.Run(m.name+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				netnstest.Run(t, func(t *testing.T) {
					r := newRoot(t, debiantest.Debian12)
					r.manage(t, m, tt.script)
					got := strings.Join(strings.Fields(r.Sh(t, state)), " ")
					if got != tt.want {
						t.Errorf("got %q, want %q", got, tt.want)
					}
				})
			})
		}
	}
}

// manage runs a script with a manager's functions: dpkg in the root; rpm, which
// no Debian root has, from outside.
func (r root) manage(t *testing.T, m manager, script string) string {
	t.Helper()
	if m.name == "deb" {
		return r.Sh(t, m.functions+"\n"+script)
	}
	netnstest.NeedProgram(t, "rpm")
	// Absolute paths of the script are the root's.
	script = rooted.Replace(m.functions + "\n" + script)
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-ec", script)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "R=" + r.Path("/"), "RPM=rpm --root " + r.Path("/") + " --dbpath /var/lib/rpm"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// rooted turns the paths that scripts of the table use into those below $R.
var rooted = strings.NewReplacer("/etc/", "$R/etc/", "/usr/", "$R/usr/", "/dist/", "$R/dist/", " /proc", " $R/proc")

// TestPurgeLeavesNothing compares all files before and after.
func TestPurgeLeavesNothing(t *testing.T) {
	t.Parallel()
	debiantest.Need(t, debiantest.Debian12)
	for _, m := range managers {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			netnstest.Run(t, func(t *testing.T) {
				r := newRoot(t, debiantest.Debian12)
				before := r.files(t)
				last := map[string]string{"deb": "purge", "rpm": "erase"}[m.name]
				script := "install 1.0; install 1.1; "
				if m.name == "deb" { // whose script runs in the root
					script += "virbrd hook --install; [ -x /etc/libvirt/hooks/network.d/50-virbr ]; "
				}
				out := r.manage(t, m, script+last)
				after := r.files(t)
				if m.name == "rpm" { // directories of all packages are filesystem's, which Debian has not
					after = slices.DeleteFunc(after, func(name string) bool {
						info, err := os.Lstat(r.Path(name))
						return err == nil && info.IsDir() && !slices.Contains(before, name) && !strings.Contains(name, "virbr")
					})
				}
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("(-before +after)\n%s%s", diff, out)
				}
			})
		})
	}
}

// TestDefaultNetwork looks at what is made: a valid definition, another one at
// each installation, on a bridge that is free.
func TestDefaultNetwork(t *testing.T) {
	t.Parallel()
	debiantest.Need(t, debiantest.Debian12)
	netnstest.Run(t, func(t *testing.T) {
		r := newRoot(t, debiantest.Debian12)
		networks := "/etc/libvirt/qemu/networks"
		r.Sh(t, fmt.Sprintf(`mkdir -p %s; echo "<bridge name='virbr0'/>" >%[1]s/other.xml`, networks))
		seen := map[string]bool{}
		for range 3 {
			r.manage(t, managers[0], "install 1.0")
			r.Sh(t, "virbr check "+networks+"/default.xml")
			got := r.Sh(t, "virbr render xml --inactive "+networks+"/default.xml; stat -c %a "+networks+"/default.xml; readlink "+networks+"/autostart/default.xml")
			for _, want := range []string{"<bridge name='virbr1'", "<mac address='52:54:00:", "\n600\n" + networks + "/default.xml\n"} {
				if !strings.Contains(got, want) {
					t.Errorf("without %q:\n%s", want, got)
				}
			}
			for line := range strings.Lines(got) {
				if strings.Contains(line, "<uuid>") || strings.Contains(line, "<mac ") {
					if seen[line] {
						t.Errorf("again: %s", line)
					}
					seen[line] = true
				}
			}
			r.manage(t, managers[0], "purge")
		}
		if len(seen) != 6 {
			t.Errorf("seen %v, want three UUIDs and three addresses", seen)
		}
	})
}
