package main

import (
	"path/filepath"
	"testing"

	"github.com/virbr/virbr/driver/plan"
)

func TestHookPath(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, library, want string }{
		{"libvirt 9.0.0", "libvirt.so.0.9000.0", "/hooks/network.d/50-virbr"},
		{"libvirt 6.5.0", "libvirt.so.0.6005.0", "/hooks/network.d/50-virbr"},
		{"libvirt 6.4.0", "libvirt.so.0.6004.0", "/hooks/network"},
		{"libvirt 5.0.0", "libvirt.so.0.5000.0", "/hooks/network"},
		{"no library", "libvirt.so.0", "/hooks/network.d/50-virbr"},
		{"another kind of number", "libvirt.so.0.new.0", "/hooks/network.d/50-virbr"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := files(t, map[string]string{tt.library: ""})
			if got := hookPath("/hooks", []string{filepath.Join(dir, "libvirt.so.0.*.*")}); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]*plan.Report{
		"no extensions":            {},
		"extensions from metadata": {From: plan.Metadata},
		"extensions from /a; no address is known yet of web, db": {From: plan.File, File: "/a", Waiting: []string{"web", "db"}},
		"error: no; note": {From: plan.File, Error: "no", Notes: []string{"note"}},
	} {
		if got := describe(r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
