package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/virbr/virbr/dnsmasq"
)

// TestLeasesAtOnce: dnsmasq's helpers of one network do not lose each other's
// leases.
func TestLeasesAtOnce(t *testing.T) {
	t.Parallel()
	const n = 50
	dir := t.TempDir()
	file, lock := filepath.Join(dir, "virbr7.status"), filepath.Join(dir, "lock")
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ev := dnsmasq.Event{Action: dnsmasq.ActionAdd, Interface: "virbr7", Entry: dnsmasq.Entry{
				Address: fmt.Sprintf("10.7.0.%d", i+2), MAC: fmt.Sprintf("52:54:00:00:00:%02x", i),
			}}
			if err := record(ev, file, lock, io.Discard); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	entries, err := readLeases(file)
	if err != nil || len(entries) != n {
		t.Fatalf("%d leases, %v, want %d", len(entries), err, n)
	}
	var out strings.Builder
	if err := record(dnsmasq.Event{Action: dnsmasq.ActionInit, Interface: "virbr7"}, file, lock, &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\n"); got != n {
		t.Errorf("init printed %d lines, want %d", got, n)
	}
}

func TestBrokenLeaseFile(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		ok         bool
	}{
		{"empty", "", true},
		{"cut off: started anew, as by libvirt's helper", `[ { "ip-add`, true},
		{"something else: left alone", `{"a": 1}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "virbr7.status")
			if err := os.WriteFile(file, []byte(tt.text), 0o644); err != nil {
				t.Fatal(err)
			}
			ev := dnsmasq.Event{Action: dnsmasq.ActionAdd, Entry: dnsmasq.Entry{Address: "10.7.0.2", MAC: "52:54:00:00:00:01"}}
			err := record(ev, file, filepath.Join(dir, "lock"), io.Discard)
			if (err == nil) != tt.ok {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
			if data, _ := os.ReadFile(file); !tt.ok && string(data) != tt.text {
				t.Errorf("the file is now %q", data)
			}
		})
	}
}
