package discoverytest

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
// package discovery, word for word, at the declaration they name.
func TestRulesAreWritten(t *testing.T) {
	written := make(map[string]string)
	for _, f := range parseDir(t, "..") {
		for _, d := range f.Decls {
			if d, ok := d.(*ast.GenDecl); ok {
				addComments(written, d)
			}
		}
	}
	named := 0
	for _, f := range parseDir(t, ".") {
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if id, ok := lit.Type.(*ast.Ident); !ok || id.Name != "rule" {
				return true
			}
			named++
			decl, words := text(lit.Elts[0]), text(lit.Elts[1])
			if got, ok := written[decl]; !ok || words == "" || !strings.Contains(got, words) {
				t.Errorf("discovery.%s: %q is not in its comment, which is %q", decl, words, got)
			}
			return true
		})
	}
	if named < 20 {
		t.Errorf("found only %d rules in the cases", named)
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

// addComments adds the comments of types and their members, each on one line, by names such as
// Browser.Next.
func addComments(to map[string]string, d *ast.GenDecl) {
	add := func(name string, groups ...*ast.CommentGroup) {
		for _, g := range groups {
			to[name] += strings.Join(strings.Fields(strings.ReplaceAll(g.Text(), "\n//", "\n")), " ") + " "
		}
	}
	for _, spec := range d.Specs {
		s, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		add(s.Name.Name, d.Doc, s.Doc)
		var members []*ast.Field
		switch typ := s.Type.(type) {
		case *ast.InterfaceType:
			members = typ.Methods.List
		case *ast.StructType:
			members = typ.Fields.List
		}
		for _, m := range members {
			for _, name := range m.Names {
				add(s.Name.Name+"."+name.Name, m.Doc, m.Comment)
			}
		}
	}
}

func text(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok {
		s, _ := strconv.Unquote(l.Value)
		return s
	}
	return ""
}
