package policy

import (
	"bytes"
	"encoding/xml"
	"go/ast"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/virbr/virbr/rpc/proto"
	definition "github.com/virbr/virbr/xml"
)

const compatibility = "docs/compatibility.md"

// row is one row of a table of docs/compatibility.md. The last cell names the
// tests that hold it; the one before says how virbrd compares with libvirt,
// where the table has such a column.
type row struct {
	line  int
	cells []string
}

func (r row) held() []string { return quoted(r.cells[len(r.cells)-1]) }

// quoted returns what stands in backquotes.
func quoted(cell string) []string {
	var list []string
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			list = append(list, part)
		}
	}
	return list
}

// tables reads the page's tables, by the heading above them.
func tables(t *testing.T) map[string][]row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, compatibility))
	if err != nil {
		t.Fatal(err)
	}
	all, heading, line, head := map[string][]row{}, "", 0, false
	for l := range strings.Lines(string(text)) {
		line++
		l = strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(l, "## "):
			heading, head = l[3:], false
		case !strings.HasPrefix(l, "|"):
			head = false
		case !head:
			head = true // the header
		case !strings.HasPrefix(l, "|---"):
			cells := strings.Split(strings.Trim(l, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			all[heading] = append(all[heading], row{line, cells})
		}
	}
	return all
}

// verdict is how virbrd compares with libvirt; after a semicolon there may be a
// remark.
var verdict = regexp.MustCompile(`^(same(;.+)?|stricter because .+|not served because .+)$`)

// TestCompatibilityHolds: every row of the page has a verdict and names tests
// that exist.
func TestCompatibilityHolds(t *testing.T) {
	t.Parallel()
	tests := testBodies(t)
	for heading, rows := range tables(t) {
		for _, r := range rows {
			held := r.held()
			if len(held) == 0 {
				t.Errorf("%s:%d: no test holds the row", compatibility, r.line)
			}
			for _, name := range held {
				if !known(tests, name) {
					t.Errorf("%s:%d: there is no test %s", compatibility, r.line, name)
				}
			}
			if v := r.cells[len(r.cells)-2]; heading != differences && !verdict.MatchString(v) {
				t.Errorf("%s:%d: %q says neither same, nor stricter because, nor not served because", compatibility, r.line, v)
			}
		}
	}
}

// differences is the heading of the one table without verdicts.
const differences = "What you will notice"

// known reports whether a test exists: a function, as package/TestName, a case
// of the corpus, as corpus/name, or a session that libvirtd and virbrd answer
// alike, as wording/name.
func known(tests map[string]string, name string) bool {
	kind, rest, _ := strings.Cut(name, "/")
	file := ""
	switch kind {
	case "corpus":
		file = filepath.Join(root, "tests/corpus", rest+".txtar")
	case "wording":
		file = filepath.Join(root, "tests/wording/testdata", rest+".virsh")
	default:
		return tests[name] != ""
	}
	_, err := os.Stat(file)
	return err == nil
}

// testBodies returns the text of every test function, by package/TestName.
func testBodies(t *testing.T) map[string]string {
	t.Helper()
	bodies := map[string]string{}
	for _, f := range sources(t) {
		if !f.test {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, f.path))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
				bodies[f.pkg+"/"+fn.Name.Name] = string(text[f.fset.Position(fn.Pos()).Offset:f.fset.Position(fn.End()).Offset])
			}
		}
	}
	return bodies
}

// TestCompatibilityProcedures: every number of the protocol has one row; served
// ones have a row of their own, and a test that uses the number's name.
func TestCompatibilityProcedures(t *testing.T) {
	t.Parallel()
	names, tests, seen := served(t), testBodies(t), map[int]int{}
	for _, r := range tables(t)["Procedures"] {
		unserved := strings.HasPrefix(r.cells[2], "not served because ")
		numbers := expand(t, r)
		for _, n := range numbers {
			seen[n]++
			name := names[n]
			_, none := proto.LookupUnserved(int32(n))
			switch {
			case name == "" && !none && !proto.Event(int32(n)):
				t.Errorf("%s:%d: there is no procedure %d", compatibility, r.line, n)
			case name == "" && !unserved:
				t.Errorf("%s:%d: procedure %d is not served", compatibility, r.line, n)
			case name == "" || unserved && foreign.MatchString(name):
			case len(numbers) > 1:
				t.Errorf("%s:%d: procedure %d (%s) wants a row of its own", compatibility, r.line, n, name)
			case !slices.ContainsFunc(r.held(), func(test string) bool {
				return regexp.MustCompile(`\bproto\.` + name + `\b`).MatchString(tests[test])
			}):
				t.Errorf("%s:%d: none of the tests uses proto.%s", compatibility, r.line, name)
			}
		}
	}
	for n := range proto.Last + 1 {
		if seen[n] != 1 {
			t.Errorf("%s: procedure %d has %d rows", compatibility, n, seen[n])
		}
	}
}

// foreign are procedures that rpc knows by name only to refuse them.
var foreign = regexp.MustCompile(`^(AuthSASL|Domain|ConnectDomain)`)

// expand reads the numbers of a row, as "3" or "4-35, 37".
func expand(t *testing.T, r row) []int {
	t.Helper()
	var list []int
	for part := range strings.SplitSeq(r.cells[0], ", ") {
		first, last, several := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		b := a
		if several && err == nil {
			b, err = strconv.Atoi(last)
		}
		if err != nil {
			t.Fatalf("%s:%d: %q is no procedure number", compatibility, r.line, part)
		}
		for ; a <= b; a++ {
			list = append(list, a)
		}
	}
	return list
}

// served returns the names of rpc/proto's constants for procedures, by number.
func served(t *testing.T) map[int]string {
	t.Helper()
	i := slices.IndexFunc(sources(t), func(s source) bool { return s.path == "rpc/proto/number.go" })
	names := map[int]string{}
	ast.Inspect(sources(t)[i].ast, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Connect") && !strings.HasPrefix(spec.Names[0].Name, "Network") &&
			!strings.HasPrefix(spec.Names[0].Name, "Auth") && !strings.HasPrefix(spec.Names[0].Name, "Domain") || strings.HasPrefix(spec.Names[0].Name, "AuthType") {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			number, err := strconv.Atoi(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			names[number] = spec.Names[0].Name
		}
		return true
	})
	if len(names) < 50 {
		t.Fatalf("only %d procedures are found", len(names))
	}
	return names
}

// TestCompatibilityUpdates: every section of net-update has a row for every
// command.
func TestCompatibilityUpdates(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, r := range tables(t)["net-update"] {
		for _, command := range quoted(r.cells[1]) {
			seen[quoted(r.cells[0])[0]+" "+command]++
		}
	}
	for section := definition.SectionBridge; section <= definition.SectionDNSSRV; section++ {
		for command := definition.UpdateModify; command <= definition.UpdateAddFirst; command++ {
			if key := section.String() + " " + command.String(); seen[key] != 1 {
				t.Errorf("%s: net-update %s has %d rows", compatibility, key, seen[key])
			}
			delete(seen, section.String()+" "+command.String())
		}
	}
	for key := range seen {
		t.Errorf("%s: there is no net-update %s", compatibility, key)
	}
}

// extensions are what libvirt does not have, below which nothing is compared.
var extensions = []string{"ipv6", "ip@type", "ip@until", "bridge@create"}

// TestCompatibilityXML: every element and attribute of our grammars stands in
// the page once, with a case of the corpus that has it.
func TestCompatibilityXML(t *testing.T) {
	t.Parallel()
	for heading, file := range map[string]string{"Network XML": "network.rng", "Port XML": "networkport.rng"} {
		cases := corpusPaths(t, strings.TrimSuffix(file, ".rng"))
		wanted := map[string]bool{}
		for _, path := range readGrammar(t, file).paths() {
			ours := slices.ContainsFunc(extensions, func(e string) bool {
				return path == e || strings.HasPrefix(path, e+"@") || strings.HasPrefix(path, e+"/")
			})
			if !ours {
				wanted[path] = true
			}
		}
		for _, r := range tables(t)[heading] {
			element := ""
			for i, path := range quoted(r.cells[0]) {
				switch {
				case strings.HasPrefix(path, "@"):
					path = element + path
				case i > 0:
					t.Errorf("%s:%d: more than one element", compatibility, r.line)
				default:
					element = path
				}
				if !wanted[path] {
					t.Errorf("%s:%d: %s is not in %s, or stands there twice", compatibility, r.line, path, file)
				}
				delete(wanted, path)
				if !slices.ContainsFunc(r.held(), func(name string) bool { return cases[name][path] }) {
					t.Errorf("%s:%d: none of the cases has %s", compatibility, r.line, path)
				}
			}
		}
		for _, path := range slices.Sorted(maps.Keys(wanted)) {
			t.Errorf("%s: %s of %s has no row", compatibility, path, file)
		}
	}
}

// corpusPaths returns what the documents of each case of the corpus have, for
// one kind of document. Cases of what is refused do not count.
func corpusPaths(t *testing.T, kind string) map[string]map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "tests/corpus/*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	cases := map[string]map[string]bool{}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(archive.Files, func(f txtar.File) bool { return f.Name == "error" }) {
			continue
		}
		found := map[string]bool{}
		for _, f := range archive.Files {
			if strings.HasSuffix(f.Name, ".xml") {
				documentPaths(t, f.Data, kind, found)
			}
		}
		cases["corpus/"+strings.TrimSuffix(filepath.Base(file), ".txtar")] = found
	}
	return cases
}

// documentPaths collects the elements and attributes of a document, if it is of
// a kind.
func documentPaths(t *testing.T, doc []byte, kind string, found map[string]bool) {
	t.Helper()
	var at []string
	for d := xml.NewDecoder(bytes.NewReader(doc)); ; {
		token, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if len(at) == 0 && token.Name.Local != kind {
				return
			}
			name, ok := prefixed(token.Name.Space, token.Name.Local)
			if !ok {
				name = "another's" // and whatever is in it
			}
			at = append(at, name)
			path := strings.Join(at[1:], "/")
			found[path] = true
			for _, a := range token.Attr {
				found[path+"@"+a.Name.Local] = true
			}
		case xml.EndElement:
			at = at[:len(at)-1]
		}
	}
}
