//go:build libvirt_dlopen

package crash

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/tests/netnstest"
)

// state is the host by topic: what a snapshot has, files and processes.
type state map[string]string

// places are where virbrd has files.
var places = []string{"/etc/libvirt/qemu/networks", "/run/libvirt", "/run/virbr", "/run/virtnetworkd.pid", "/var/lib/libvirt/dnsmasq", "/var/lib/virbr"}

// histories is where virbrd keeps former definitions of networks.
const histories = "/var/lib/virbr/history"

var (
	// numbers of links differ from start to start.
	linkNumber = regexp.MustCompile(`(?m)^\d+: `)
	elements   = regexp.MustCompile(`elements = \{[^}]*\}`)
	// aging matches what a bridge changes by itself when a port comes or goes.
	aging = regexp.MustCompile(`(ageing_time|topology_change|topology_change_detected) \d+ `)
)

// look returns the state of the host.
func look(t *testing.T) state {
	t.Helper()
	s := state(netnstest.Snapshot(t))
	for _, topic := range []string{"links", "addresses"} {
		s[topic] = sorted(aging.ReplaceAllString(linkNumber.ReplaceAllString(s[topic], ""), ""), "\n")
	}
	for _, topic := range []string{"routes", "routes6"} {
		s[topic] = sorted(s[topic], "\n")
	}
	s["rules"] = rules(s["rules"])
	for _, place := range places {
		if err := s.addFiles(place); err != nil {
			t.Fatal(err)
		}
	}
	s["processes"] = processes(t)
	return s
}

// rest returns the state of the host when it has come to rest: dnsmasq has processes
// for a moment when it starts.
func rest(t *testing.T) state {
	t.Helper()
	var now state
	netnstest.Wait(t, "the host comes to rest", func() error {
		last := now
		now = look(t)
		if diff := cmp.Diff(last, now); diff != "" {
			pause(t)
			return fmt.Errorf("it changes:\n%s", diff)
		}
		return nil
	})
	return now
}

func sorted(text, separator string) string {
	parts := strings.Split(text, separator)
	slices.Sort(parts)
	return strings.Join(parts, separator)
}

// rules sorts what nft lists in no order: tables, their parts, and the elements of
// a set.
func rules(text string) string {
	text = elements.ReplaceAllStringFunc(text, func(list string) string {
		inner := strings.TrimSuffix(strings.TrimPrefix(list, "elements = {"), "}")
		parts := strings.Split(inner, ",")
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		slices.Sort(parts)
		return strings.Join(parts, ",\n")
	})
	table, part, list := "", "", []string{}
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "table "):
			table = line
			list = append(list, table)
		case line == "\t}\n":
			list, part = append(list, table+part+line), ""
		case line != "}\n" && line != "\n":
			part += line
		}
	}
	slices.Sort(list)
	return strings.Join(list, "")
}

// learned matches what is remembered of guests until the next look at them, which may
// come at any time: the addresses that they told of themselves, and who had a port.
var learned = regexp.MustCompile(`"learned":\{[^{}]*\},?|"plugged":\[[^]]*\],?`)

// deadline matches until when a change must be confirmed.
var deadline = regexp.MustCompile(`"until":"[^"]*"`)

// addFiles adds the files of a place: their modes, and what they hold.
func (s state) addFiles(place string) error {
	return filepath.WalkDir(place, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if path == histories {
			return fs.SkipDir // has each definition that there was, and when that was
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) { // of a client that is just leaving
			return nil
		}
		if err != nil {
			return err
		}
		text := info.Mode().String()
		switch {
		case info.Mode().IsRegular() && filepath.Ext(path) == ".pid":
			text += " a process"
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			data = deadline.ReplaceAll(learned.ReplaceAll(data, nil), nil)
			if string(data) == "{}\n" {
				return nil // nothing else is in it
			}
			text += " " + string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " " + target
		}
		s["file "+path] = text
		return nil
	})
}

// processes lists what virbrd started, of this test's mount namespace: each must
// be that of its pid file.
func processes(t *testing.T) string {
	t.Helper()
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		ns, _ := os.Readlink("/proc/" + e.Name() + "/ns/mnt")
		args, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		line := strings.TrimSpace(strings.ReplaceAll(string(args), "\x00", " "))
		if ns == own && line != "" && (strings.Contains(line, "dnsmasq") || strings.Contains(line, "virbr_leaseshelper")) {
			list = append(list, line)
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

// same wants a state.
func same(t *testing.T, want, got state, when string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", when, diff)
	}
}

// patience is how long the host may take until it is as it is to be: removals by
// the kernel, and what is put right in the background.
const patience = 10 * time.Second

// settles waits until the host is in one of some states, and returns its index.
// What is different from the nearest is the error.
func settles(t *testing.T, wanted ...state) (int, error) {
	t.Helper()
	return settlesBy(t, func() state { return look(t) }, wanted...)
}

// settlesBy is settles with a look of its own.
func settlesBy(t *testing.T, look func() state, wanted ...state) (int, error) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		now := look()
		best, least := "", -1
		for i, want := range wanted {
			diff := cmp.Diff(want, now)
			if diff == "" {
				return i, nil
			}
			if least < 0 || len(diff) < len(best) {
				best, least = diff, i
			}
		}
		if time.Now().After(end) {
			return least, fmt.Errorf("the host is in none of %d states; nearest is %d (-want +got):\n%s", len(wanted), least, best)
		}
		pause(t)
	}
}

// pause lets the host work.
func pause(t *testing.T) {
	t.Helper()
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
