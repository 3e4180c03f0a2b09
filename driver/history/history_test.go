package history

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/virbr/virbr/xml"
)

func texts(t *testing.T, s *Store, uuid xml.UUID) string {
	t.Helper()
	list, err := s.List(uuid)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, r := range list {
		kind := ""
		if r.Running {
			kind = " running"
		}
		words = append(words, fmt.Sprintf("%d %s%s %s", r.Number, r.Network, kind, r.Text[:min(len(r.Text), 8)]))
	}
	return strings.Join(words, "\n")
}

func record(t *testing.T, s *Store, n Network, before, text string, running bool) {
	t.Helper()
	if err := s.Record(n, before, Revision{Text: text, Running: running, Call: "call"}); err != nil {
		t.Fatal(err)
	}
}

// What is kept: each change, what was there before and was not told of, and no more
// than the bounds say; the same for a store that was opened anew.
func TestRecord(t *testing.T) {
	t.Parallel()
	n := Network{Name: "net", UUID: xml.UUID{1}}
	for _, anew := range []bool{false, true} {
		dir := t.TempDir()
		s := New(dir)
		put := func(before, text string, running bool) {
			t.Helper()
			if anew {
				s = New(dir)
			}
			record(t, s, n, before, text, running)
		}
		put("<a/>", "<b/>", false)
		put("<b/>", "<b/>", false)
		put("", "<live/>", true)
		put("<b/>", "<c/>", false)
		put("<by-hand/>", "<d/>", false)
		want := "1 net <a/>\n2 net <b/>\n3 net running <live/>\n4 net <c/>\n5 net <by-hand\n6 net <d/>"
		if diff := cmp.Diff(want, texts(t, s, n.UUID)); diff != "" {
			t.Errorf("opened anew %v (-want +got):\n%s", anew, diff)
		}
		for i := range Depth {
			put("", fmt.Sprintf("<e%d/>", i), false)
		}
		list := texts(t, s, n.UUID)
		if !strings.HasPrefix(list, "7 net <e0/>\n") || strings.Count(list, "\n") != Depth-1 {
			t.Errorf("after %d more there are\n%s", Depth, list)
		}
		if _, err := s.Get(n.UUID, 6); !errors.Is(err, ErrNone) {
			t.Errorf("the oldest one: %v", err)
		}
		large := strings.Repeat("x", maxBytes/2)
		for _, first := range []string{"p", "q", "r"} {
			put("", first+large, false)
		}
		if list := texts(t, s, n.UUID); list != "28 net qxxxxxxx\n29 net rxxxxxxx" {
			t.Errorf("after large ones there are\n%s", list)
		}
	}
}

// A network that is gone can be had again, by the next one of its name or UUID.
func TestGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := New(dir)
	one, two := Network{Name: "net", UUID: xml.UUID{1}}, Network{Name: "net", UUID: xml.UUID{2}}
	record(t, s, one, "", "<one/>", false)
	if err := s.Gone(one); err != nil {
		t.Fatal(err)
	}
	s = New(dir)
	if got, ok := s.Former("net"); !ok || got != one {
		t.Errorf("the former one is %v, %v", got, ok)
	}
	record(t, s, two, "", "<two/>", false)
	if got := texts(t, s, two.UUID); got != "1 net <one/>\n2 net <two/>" {
		t.Errorf("the second one has\n%s", got)
	}
	if got, ok := s.Former("net"); ok {
		t.Errorf("still former: %v", got)
	}
	other := Network{Name: "renamed", UUID: two.UUID}
	if err := s.Gone(two); err != nil {
		t.Fatal(err)
	}
	record(t, s, other, "", "<three/>", false)
	if got := texts(t, s, two.UUID); got != "1 net <one/>\n2 net <two/>\n3 renamed <three/>" {
		t.Errorf("with another name it has\n%s", got)
	}
	for i := range maxGone + 1 {
		n := Network{Name: fmt.Sprint("n", i), UUID: xml.UUID{9, byte(i >> 8), byte(i)}}
		record(t, s, n, "", "<n/>", false)
		if err := s.Gone(n); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := s.Former("n0"); ok {
		t.Error("the first of too many is still there")
	}
	if _, err := os.Stat(s.of(xml.UUID{9})); err == nil {
		t.Error("its directory is still there")
	}
}

// What makes no sense does not keep others from being kept.
func TestBroken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := Network{Name: "net", UUID: xml.UUID{1}}
	record(t, New(dir), n, "", "<one/>", false)
	for path, text := range map[string]string{New(dir).file(n.UUID, 1): "{", filepath.Join(dir, "gone.json"): "[{", filepath.Join(New(dir).of(n.UUID), "x.json"): ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := New(dir)
	record(t, s, n, "", "<two/>", false)
	if got := texts(t, s, n.UUID); got != "2 net <two/>" {
		t.Errorf("there is\n%s", got)
	}
}
