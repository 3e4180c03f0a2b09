package policy

import (
	"go/ast"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines = 500
	maxFuncLines = 70
)

// forbiddenWords are calls that no file may make, and why.
var forbiddenWords = []struct{ pkg, name, why string }{
	{"time", "Sleep", "wait for the thing itself: a channel, a probe, a process's end"},
	{"context", "TODO", "take the caller's context"},
	{"slog", "Default", "loggers are passed in"},
	{"slog", "SetDefault", "loggers are passed in"},
	{"slog", "Debug", "loggers are passed in"},
	{"slog", "Info", "loggers are passed in"},
	{"slog", "Warn", "loggers are passed in"},
	{"slog", "Error", "loggers are passed in"},
}

func TestForbiddenCalls(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		// In a bubble of testing/synctest sleep takes no time and waits for
		// everybody else.
		bubble := f.test && f.imports("testing/synctest")
		ast.Inspect(f.ast, func(n ast.Node) bool {
			for _, w := range forbiddenWords {
				if name, ok := selector(n, w.pkg); ok && name == w.name && !(bubble && w.pkg == "time") {
					t.Errorf("%s: %s.%s: %s", f.at(n), w.pkg, w.name, w.why)
				}
			}
			return true
		})
	}
}

// TestErrorsSayWhatWasDone: "adding address ...: cause", not "failed to add".
func TestErrorsSayWhatWasDone(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 || f.test {
				return true
			}
			name, _ := selector(call.Fun, "fmt")
			_, isErrors := selector(call.Fun, "errors")
			text, ok := call.Args[0].(*ast.BasicLit)
			if (name == "Errorf" || isErrors) && ok && strings.Contains(strings.ToLower(text.Value), "failed to") {
				t.Errorf("%s: an error says what was being done, not that it failed: %s", f.at(n), text.Value)
			}
			return true
		})
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		if f.lines > maxFileLines {
			t.Errorf("%s has %d lines, more than %d: a room that wants dividing", f.path, f.lines, maxFileLines)
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.span(fn) > maxFuncLines {
				t.Errorf("%s: %s has %d lines, more than %d", f.at(fn), fn.Name.Name, f.span(fn), maxFuncLines)
			}
		}
	}
}

// stamps are the variables that the linker writes (-ldflags -X).
var stamps = []string{"version"}

// TestNoGlobalState: package variables are sentinel errors, tables, embedded
// files and interface assertions; there is no init.
func TestNoGlobalState(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s: init runs behind everybody's back", f.at(d))
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					checkVars(t, f, d)
				}
			}
		}
	}
}

func checkVars(t *testing.T, f source, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec)
		if embedded(d.Doc) || embedded(v.Doc) || v.Names[0].Name == "_" {
			continue
		}
		if strings.HasPrefix(f.pkg, "cmd/") && slices.Contains(stamps, v.Names[0].Name) {
			continue
		}
		if f.test && isFlag(v) {
			continue
		}
		if len(v.Values) == 0 || !slices.ContainsFunc(v.Values, constant) {
			t.Errorf("%s: %s is state of the package; only sentinels, tables and embeds may be", f.at(v), v.Names[0].Name)
		}
	}
}

func embedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// isFlag: a test's own flag.
func isFlag(v *ast.ValueSpec) bool {
	if len(v.Values) != 1 {
		return false
	}
	call, ok := v.Values[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	_, ok = selector(call.Fun, "flag")
	return ok
}

// constant reports whether an expression is a table or a sentinel.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.CompositeLit:
		return true
	case *ast.UnaryExpr:
		return e.Op == token.AND && constant(e.X)
	case *ast.CallExpr:
		if name, ok := selector(e.Fun, "errors"); ok && name == "New" {
			return true
		}
		if name, ok := selector(e.Fun, "regexp"); ok && name == "MustCompile" {
			return true
		}
		if name, ok := selector(e.Fun, "strings"); ok && name == "NewReplacer" {
			return true
		}
		name, ok := selector(e.Fun, "netip")
		return ok && strings.HasPrefix(name, "MustParse")
	}
	return false
}

// TestPackageComments: doc.go holds the only one, and every package has it.
func TestPackageComments(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	packages := map[string]bool{}
	for _, f := range sources(t) {
		if !f.test {
			packages[f.pkg] = true
		}
		if f.ast.Doc == nil {
			continue
		}
		if filepath.Base(f.path) != "doc.go" {
			t.Errorf("%s: the package comment belongs into doc.go", f.path)
			continue
		}
		documented[f.pkg] = true
	}
	for pkg := range packages {
		if !documented[pkg] {
			t.Errorf("%s has no doc.go with a package comment", pkg)
		}
	}
}

// selfEvident are methods whose meaning their interface gives.
var selfEvident = []string{"Error", "Unwrap", "String", "Is", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText"}

func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && !(d.Recv != nil && (slices.Contains(selfEvident, d.Name.Name) || !exportedReceiver(d))) {
					t.Errorf("%s: %s is exported and has no comment", f.at(d), d.Name.Name)
				}
			case *ast.GenDecl:
				checkDocs(t, f, d)
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	e := d.Recv.List[0].Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if index, ok := e.(*ast.IndexExpr); ok {
		e = index.X
	}
	id, ok := e.(*ast.Ident)
	return ok && id.IsExported()
}

func checkDocs(t *testing.T, f source, d *ast.GenDecl) {
	t.Helper()
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				t.Errorf("%s: type %s is exported and has no comment", f.at(s), s.Name.Name)
			}
		case *ast.ValueSpec:
			if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				t.Errorf("%s: %s is exported and has no comment", f.at(s), s.Names[0].Name)
			}
		}
	}
}
