package driver_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/driver"
	"github.com/virbr/virbr/xml"
)

const appURI = "urn:app"

func text(s string) *string { return &s }

func TestMetadata(t *testing.T) {
	t.Parallel()
	both := driver.AffectLive | driver.AffectConfig
	for name, c := range map[string]struct {
		req         driver.MetadataRequest
		key         string
		value, want string
	}{
		"description": {driver.MetadataRequest{Type: 0, Affect: both}, "", "two\nlines <&>", "two\nlines <&>"},
		"title":       {driver.MetadataRequest{Type: 1, Affect: both}, "", "Büro", "Büro"},
		"element":     {driver.MetadataRequest{Type: 2, URI: appURI, Affect: both}, "app", "<owner name='it'><x/></owner>", "<owner name=\"it\">\n  <x/>\n</owner>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := started(t)
			ref := r.define(natNet("default", 3))
			r.start(ref)
			plain := []string{r.xml(ref, false), r.xml(ref, true)}
			r.told()
			r.host.Lines()
			set := func(value *string) {
				t.Helper()
				if err := r.d.SetMetadata(t.Context(), ref, c.req, c.key, value); err != nil {
					t.Fatal(err)
				}
			}
			get := func(affect driver.Affect) (string, error) {
				req := c.req
				req.Affect = affect
				return r.d.Metadata(t.Context(), ref, req)
			}
			set(&c.value)
			for range 2 { // at once, and after a restart of the daemon
				for _, affect := range []driver.Affect{0, driver.AffectLive, driver.AffectConfig} {
					if got, err := get(affect); err != nil || got != c.want {
						t.Errorf("affect %d: got %q, %v, want %q", affect, got, err, c.want)
					}
				}
				r.reopen()
			}
			set(nil)
			for _, affect := range []driver.Affect{0, driver.AffectLive, driver.AffectConfig} {
				_, err := get(affect)
				wantKind(t, err, driver.KindNoMetadata, "Requested metadata element is not present")
			}
			if diff := cmp.Diff(plain, []string{r.xml(ref, false), r.xml(ref, true)}); diff != "" {
				t.Errorf("after setting and removing (-before +after)\n%s", diff)
			}
			if diff := cmp.Diff([]string{"default metadata", "default metadata"}, r.told()); diff != "" {
				t.Errorf("events (-want +got)\n%s", diff)
			}
		})
	}
}

func TestMetadataEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var events []driver.Event
	cfg := r.config()
	cfg.Events = func(e driver.Event) { events = append(events, e) }
	r.d = driver.New(cfg)
	if err := r.d.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ref := r.define(natNet("default", 3))
	for kind, uri := range []string{"", "", appURI} {
		if err := r.d.SetMetadata(t.Context(), ref, driver.MetadataRequest{Type: kind, URI: uri}, "app", text("<a/>")); err != nil {
			t.Fatal(err)
		}
	}
	want := []driver.Event{
		{Kind: driver.EventDefined, Network: ref},
		{Kind: driver.EventMetadata, Network: ref, MetadataType: 0},
		{Kind: driver.EventMetadata, Network: ref, MetadataType: 1},
		{Kind: driver.EventMetadata, Network: ref, MetadataType: 2, URI: appURI},
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got)\n%s", diff)
	}
}

func TestMetadataRefused(t *testing.T) {
	t.Parallel()
	r := started(t)
	ref := r.define(natNet("default", 3))
	before := r.files()
	set := func(req driver.MetadataRequest, value string) error {
		return r.d.SetMetadata(t.Context(), ref, req, "app", &value)
	}
	_, err := r.d.Metadata(t.Context(), ref, driver.MetadataRequest{Type: 7})
	wantKind(t, err, driver.KindInvalidArg, "unknown metadata type '7'")
	_, err = r.d.Metadata(t.Context(), ref, driver.MetadataRequest{Affect: driver.AffectLive})
	wantKind(t, err, driver.KindOperationInvalid, "network is not running")
	wantKind(t, set(driver.MetadataRequest{Type: 7}, "x"), driver.KindInvalidArg, "unknown metadata type '7'")
	wantKind(t, set(driver.MetadataRequest{Type: 1}, "a\nb"), driver.KindInvalidArg, "metadata title can't contain newlines")
	wantKind(t, set(driver.MetadataRequest{Affect: driver.AffectLive}, "x"), driver.KindOperationInvalid, "network is not running")
	err = set(driver.MetadataRequest{Type: 2, URI: appURI}, "words")
	if _, ok := errors.AsType[*xml.Error](err); !ok {
		t.Errorf("no element: got %v, want xml's refusal", err)
	}
	r.told()
	if diff := cmp.Diff(before, r.files()); diff != "" {
		t.Errorf("refused calls changed files (-before +after)\n%s", diff)
	}
}
