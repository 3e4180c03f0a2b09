package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     []Entry
	}{
		{"empty", "", nil},
		{"comments only", "# one\n\n  # two", nil},
		{"double quotes", `a = "x y"`, []Entry{{"a", 1, Value{Line: 1, Text: "x y"}}}},
		{"single quotes keep double ones", `a='x"y'`, []Entry{{"a", 1, Value{Line: 1, Text: `x"y`}}}},
		{"a backslash is a character", `a = "x\n"`, []Entry{{"a", 1, Value{Line: 1, Text: `x\n`}}}},
		{"empty string", `a = ""`, []Entry{{"a", 1, Value{Line: 1}}}},
		{"three quotes span lines", "a = \"\"\"x\n\"y\"\n\"\"\"\nb = 1", []Entry{
			{"a", 1, Value{Line: 1, Text: "x\n\"y\"\n"}}, {"b", 4, Value{Kind: KindNumber, Line: 4, Number: 1}}}},
		{"numbers", "a = 0\nb=-1\nc=+3 # three\nd = 0777", []Entry{
			{"a", 1, Value{Kind: KindNumber, Line: 1}}, {"b", 2, Value{Kind: KindNumber, Line: 2, Number: -1}},
			{"c", 3, Value{Kind: KindNumber, Line: 3, Number: 3}}, {"d", 4, Value{Kind: KindNumber, Line: 4, Number: 777}}}},
		{"semicolons separate", "a=1;b=2;", []Entry{
			{"a", 1, Value{Kind: KindNumber, Line: 1, Number: 1}}, {"b", 1, Value{Kind: KindNumber, Line: 1, Number: 2}}}},
		{"lists", "a = []\nb = [ 'x',\n # why\n \"y\", ]\r\n", []Entry{
			{"a", 1, Value{Kind: KindList, Line: 1, List: []string{}}},
			{"b", 2, Value{Kind: KindList, Line: 2, List: []string{"x", "y"}}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := Parse("t.conf", []byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, f.Entries); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"no equals sign", "\nlog_level 3", "t.conf:2: log_level: an = is missing behind the key"},
		{"no key", "_a = 1", "t.conf:1: a key was wanted, it begins with a letter"},
		{"dash in a key", "a-b = 1", "t.conf:1: a: an = is missing behind the key"},
		{"no value", "a = \nb = 1", "t.conf:1: a: a value was wanted: a string in quotes, a number or a [list]"},
		{"bare word", "a = yes", "t.conf:1: a: a value was wanted: a string in quotes, a number or a [list]"},
		{"open string", "\n\na = 'x\ny'", "t.conf:3: a: the string that begins here has no closing '"},
		{"open triple string names its first line", "a = \"\"\"x\ny\n\"", "t.conf:1: a: the string that begins here has no closing \"\"\""},
		{"hexadecimal", "a = 0x3", "t.conf:1: a: unexpected text behind the value; strings have no escapes, numbers are decimal"},
		{"escaped quote", `a = "x\"y"`, "t.conf:1: a: unexpected text behind the value; strings have no escapes, numbers are decimal"},
		{"sign alone", "a = -", "t.conf:1: a: a digit was wanted behind the sign"},
		{"huge number", "a = 99999999999999999999", "t.conf:1: a: the number is too large"},
		{"number in a list", "a = [ 'x', 3 ]", "t.conf:1: a: a string in quotes or the closing ] was wanted"},
		{"nested list", "a = [ [ 'x' ] ]", "t.conf:1: a: a string in quotes or the closing ] was wanted"},
		{"open list", "a = [ 'x',\n", "t.conf:2: a: a string in quotes or the closing ] was wanted"},
		{"no comma", "a = [ 'x' 'y' ]", "t.conf:1: a: a comma or the closing ] was wanted"},
		{"NUL", "a = 1\nb = '\x00'", "t.conf:2: not UTF-8 text"},
		{"not UTF-8", "a = 1\n\nb = '\xff'", "t.conf:3: not UTF-8 text"},
		{"long key", strings.Repeat("k", 65) + " = 1", "t.conf:1: a key is longer than 64 bytes"},
		{"long string", "a = '" + strings.Repeat("x", 1<<16+1) + "'", "t.conf:1: a: the string is longer than 65536 bytes"},
		{"long list", "a = [" + strings.Repeat("'',", 4097) + "]", "t.conf:1: a: more than 4096 elements"},
		{"long file", strings.Repeat("#", 1<<20+1), "t.conf:1: longer than 1048576 bytes, which no configuration is"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("t.conf", []byte(tt.in))
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got %v, want an *Error", err)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a = \"\"\"x\n\"\"\"\nb = [ 'x', \"y\", ] # c\n"))
	f.Add([]byte("a=1;b=-2;c=''"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("f", data)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Line < 1 {
				t.Errorf("error without a line: %v", err)
			}
			return
		}
		for _, e := range file.Entries {
			if e.Key == "" || e.Line < 1 || e.Value.Line < e.Line {
				t.Errorf("entry %+v", e)
			}
		}
	})
}
