package transporttest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestRulesAreWritten finds every rule that the cases name in the comments of
// package transport, or netconn, word for word, at the declaration they name.
func TestRulesAreWritten(t *testing.T) {
	written := comments(t, "..")
	for name, text := range comments(t, filepath.Join("..", "netconn")) {
		written["netconn."+name] = text
	}
	named := rulesNamed(t)
	if len(named) < 30 {
		t.Fatalf("found only %d rules in the cases", len(named))
	}
	for _, u := range named {
		text, ok := written[u.decl]
		if !ok {
			t.Errorf("%v: there is no such declaration", u)
		} else if !strings.Contains(text, u.words) {
			t.Errorf("%v: not in its comment, which is %q", u, text)
		}
	}
}

func parseDir(t *testing.T, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// comments returns the comments of a package's declarations, on one line
// each, by names such as Stream.Close. That of a type has its members' too.
func comments(t *testing.T, dir string) map[string]string {
	found := make(map[string]string)
	add := func(name string, docs ...*ast.CommentGroup) {
		for _, d := range docs {
			found[name] += strings.Join(strings.Fields(d.Text()), " ") + " "
		}
	}
	for _, f := range parseDir(t, dir) {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					add(d.Name.Name, d.Doc)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.ValueSpec:
						add(s.Names[0].Name, d.Doc, s.Doc)
					case *ast.TypeSpec:
						add(s.Name.Name, d.Doc, s.Doc)
						for _, m := range members(s.Type) {
							add(s.Name.Name, m.Doc)
							add(s.Name.Name+"."+memberName(m), m.Doc)
						}
					}
				}
			}
		}
	}
	return found
}

func members(e ast.Expr) []*ast.Field {
	switch e := e.(type) {
	case *ast.InterfaceType:
		return e.Methods.List
	case *ast.StructType:
		return e.Fields.List
	}
	return nil
}

// memberName is the first name of a member, and Read for an embedded io.Reader.
func memberName(m *ast.Field) string {
	if len(m.Names) > 0 {
		return m.Names[0].Name
	}
	if s, ok := m.Type.(*ast.SelectorExpr); ok {
		return strings.NewReplacer("Reader", "Read", "Writer", "Write").Replace(s.Sel.Name)
	}
	return ""
}

// rulesNamed returns all literals of type rule in this package.
func rulesNamed(t *testing.T) []rule {
	files := parseDir(t, ".")
	consts := make(map[string]string)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.ValueSpec); ok && len(s.Values) == 1 {
				if l, ok := s.Values[0].(*ast.BasicLit); ok && l.Kind == token.STRING {
					consts[s.Names[0].Name], _ = strconv.Unquote(l.Value)
				}
			}
			return true
		})
	}
	text := func(e ast.Expr) string {
		switch e := e.(type) {
		case *ast.BasicLit:
			s, _ := strconv.Unquote(e.Value)
			return s
		case *ast.Ident:
			return consts[e.Name]
		}
		return ""
	}
	var rules []rule
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if id, ok := lit.Type.(*ast.Ident); !ok || id.Name != "rule" {
				return true
			}
			if len(lit.Elts) != 2 || text(lit.Elts[1]) == "" {
				t.Errorf("a rule whose words are not a constant: %v", lit.Elts)
				return true
			}
			rules = append(rules, rule{text(lit.Elts[0]), text(lit.Elts[1])})
			return true
		})
	}
	return rules
}
