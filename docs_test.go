package kith_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/token"
	"slices"
	"strings"
	"testing"
)

func TestDocs(t *testing.T) { report(t, checkDocs(liveTree(t))) }

// checkDocs returns what is exported by a public package and has no comment, and the doc links there
// that lead nowhere. It uses t up: go/doc drops what it does not show.
func checkDocs(t *tree) []string {
	d := &docChecker{tree: t, byPath: make(map[string]*doc.Package)}
	pages := make(map[*goPackage][]*ast.CommentGroup)
	for _, p := range t.pkgs {
		if p.public() {
			pages[p] = d.collect(p)
		}
	}
	for p := range pages {
		page, err := doc.NewFromFiles(t.fset, p.asts(), p.importPath(), doc.PreserveAST)
		if err != nil {
			return append(d.problems, err.Error())
		}
		d.byPath[p.importPath()] = page
	}
	for p, comments := range pages {
		for _, c := range comments {
			d.checkLinks(p, c)
		}
	}
	slices.Sort(d.problems)
	return slices.Compact(d.problems) // a comment may serve several names
}

// A docChecker collects the problems of all packages of a tree.
type docChecker struct {
	tree     *tree
	byPath   map[string]*doc.Package
	problems []string
}

func (d *docChecker) problem(pos token.Pos, format string, args ...any) {
	d.problems = append(d.problems, d.tree.problem(pos, format, args...))
}

// collect returns the comments that p's documentation shows, and notes the missing ones.
func (d *docChecker) collect(p *goPackage) []*ast.CommentGroup {
	var shown []*ast.CommentGroup
	// need notes a missing comment unless one of the groups is there.
	need := func(pos token.Pos, what string, groups ...*ast.CommentGroup) {
		missing := true
		for _, g := range groups {
			if g != nil {
				missing = false
				shown = append(shown, g)
			}
		}
		if missing {
			d.problem(pos, "%s has no doc comment", what)
		}
	}
	for _, f := range p.files {
		if f.ast.Doc != nil {
			shown = append(shown, f.ast.Doc)
		}
		for _, decl := range f.ast.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if exportedFunc(decl) {
					need(decl.Pos(), funcName(decl), decl.Doc)
				}
			case *ast.GenDecl:
				d.collectSpecs(decl, need)
			}
		}
	}
	return shown
}

// needFunc is told of everything exported, with the comments that would do.
type needFunc func(pos token.Pos, what string, groups ...*ast.CommentGroup)

func (d *docChecker) collectSpecs(decl *ast.GenDecl, need needFunc) {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec:
			// The comment of a group does for all of it.
			for _, name := range spec.Names {
				if name.IsExported() {
					need(name.Pos(), name.Name, decl.Doc, spec.Doc, spec.Comment)
				}
			}
		case *ast.TypeSpec:
			if !spec.Name.IsExported() {
				continue
			}
			if decl.Lparen.IsValid() {
				need(spec.Pos(), spec.Name.Name, spec.Doc)
			} else {
				need(spec.Pos(), spec.Name.Name, decl.Doc)
			}
			d.collectFields(spec, need)
		}
	}
}

// collectFields tells need of a struct's fields or an interface's methods. A comment serves the fields
// below it too, up to an empty line. What is embedded is documented elsewhere.
func (d *docChecker) collectFields(spec *ast.TypeSpec, need needFunc) {
	var list *ast.FieldList
	switch typ := spec.Type.(type) {
	case *ast.StructType:
		list = typ.Fields
	case *ast.InterfaceType:
		list = typ.Methods
	default:
		return
	}
	line := func(pos token.Pos) int { return d.tree.fset.Position(pos).Line }
	var block *ast.CommentGroup // of the fields since the last empty line
	lastLine := 0
	for _, field := range list.List {
		if field.Doc != nil {
			block = field.Doc
		} else if line(field.Pos()) > lastLine+1 {
			block = nil
		}
		lastLine = line(field.End())
		for _, name := range field.Names {
			if name.IsExported() {
				need(name.Pos(), spec.Name.Name+"."+name.Name, block, field.Comment)
			}
		}
	}
}

func funcName(d *ast.FuncDecl) string {
	if recv := receiver(d); recv != "" {
		return recv + "." + d.Name.Name
	}
	return d.Name.Name
}

// unknown marks the name of a package that the documentation could not resolve.
const unknown = "?"

// checkLinks notes the doc links in c that lead nowhere.
func (d *docChecker) checkLinks(p *goPackage, c *ast.CommentGroup) {
	page := d.byPath[p.importPath()].Parser()
	// Everything that looks like a link becomes one, for this test to judge: by default the dead ones
	// are plain text.
	parser := &comment.Parser{
		LookupSym: func(recv, name string) bool { return true },
		LookupPackage: func(name string) (string, bool) {
			if path, ok := page.LookupPackage(name); ok {
				return path, true
			}
			if path, ok := comment.DefaultLookupPackage(name); ok {
				return path, true
			}
			return unknown + name, true
		},
	}
	for _, link := range docLinks(parser.Parse(c.Text()).Content) {
		if reason := d.dead(p, link); reason != "" {
			text := linkText(link)
			d.problem(linkPos(c, text), "doc link [%s]: %s", text, reason)
		}
	}
}

// dead returns why the link leads nowhere, or "".
func (d *docChecker) dead(p *goPackage, link *comment.DocLink) string {
	target := link.ImportPath
	if target == "" {
		target = p.importPath()
	}
	name, isUnknown := strings.CutPrefix(target, unknown)
	switch {
	case isUnknown && link.Name == "":
		return "" // a word in brackets, an index perhaps
	case isUnknown:
		return fmt.Sprintf("package %s does not import %s: write the full path, or drop the brackets", p.dir, name)
	}
	if _, ours := moduleDir(target); !ours {
		switch {
		case slices.ContainsFunc(d.tree.pkgs, func(p *goPackage) bool { return p.dir == target }):
			return "write the full path, " + modulePath + "/" + target
		case !isStd(target) && !p.imports(target):
			return fmt.Sprintf("package %s does not import %s", p.dir, target)
		}
		return ""
	}
	page := d.byPath[target]
	switch {
	case page == nil:
		return fmt.Sprintf("%s is not a public package of this module", target)
	case link.Name != "" && !page.Parser().LookupSym(link.Recv, link.Name):
		return fmt.Sprintf("%s declares no such symbol (a promoted one does not count)", target)
	}
	return ""
}

// imports reports whether a file of p other than a test imports the path.
func (p *goPackage) imports(path string) bool {
	return slices.ContainsFunc(p.files, func(f *goFile) bool {
		_, ok := f.imports()[path]
		return ok
	})
}

// docLinks returns the doc links in the blocks, in order.
func docLinks(blocks []comment.Block) []*comment.DocLink {
	var links []*comment.DocLink
	texts := func(list []comment.Text) {
		for _, t := range list {
			if link, ok := t.(*comment.DocLink); ok {
				links = append(links, link)
			}
		}
	}
	for _, b := range blocks {
		switch b := b.(type) {
		case *comment.Paragraph:
			texts(b.Text)
		case *comment.List:
			for _, item := range b.Items {
				links = append(links, docLinks(item.Content)...)
			}
		}
	}
	return links
}

// linkText returns what stands between the brackets.
func linkText(link *comment.DocLink) string {
	var text strings.Builder
	for _, t := range link.Text {
		switch t := t.(type) {
		case comment.Plain:
			text.WriteString(string(t))
		case comment.Italic:
			text.WriteString(string(t))
		}
	}
	return text.String()
}

// linkPos returns where in c the link stands.
func linkPos(c *ast.CommentGroup, text string) token.Pos {
	for _, line := range c.List {
		if i := strings.Index(line.Text, "["+text+"]"); i >= 0 {
			return line.Pos() + token.Pos(i)
		}
	}
	return c.Pos()
}

func TestCheckDocsComments(t *testing.T) {
	tests := []struct {
		source string
		want   []string
	}{
		{"// F does.\nfunc F() {}", nil},
		{"func F() {}", []string{"p/p.go:4: F has no doc comment"}},
		{"func f() {}", nil},
		{"type t int\n\nfunc (t) M() {}", nil},
		{"// T is.\ntype T[P any] int\n\nfunc (t *T[P]) M() {}", []string{"T.M has no"}},
		{"type T int", []string{"T has no"}},
		{"// Both are.\ntype (\n\tA int\n\t// B is.\n\tB int\n)", []string{"A has no"}},
		{"const C = 1", []string{"C has no"}},
		{"const C = 1 // is one", nil},
		{"// The two.\nconst (\n\tC = 1\n\tD = 2\n)", nil},
		{"var (\n\t// C is.\n\tC int\n\tD int\n)", []string{"D has no"}},
		{"var c, D int", []string{"D has no"}},
		{"// T is.\ntype T struct{ A int }", []string{"T.A has no"}},
		{"// T is.\ntype T struct{ a int }", nil},
		{"// T is.\ntype T struct {\n\tA int // is.\n\tB int\n}", []string{"T.B has no"}},
		{"// T is.\ntype T struct {\n\t// A and B are.\n\tA int\n\tB int\n\n\tC int\n}", []string{"T.C has no"}},
		{"// T is.\ntype T struct {\n\tU\n}\n\n// U is.\ntype U struct{}", nil},
		{"// I is.\ntype I interface {\n\tA()\n\t// B does.\n\tB()\n\tC()\n}", []string{"I.A has no"}},
		{"// I is.\ntype I interface{ error; ~int | string }", nil},
	}
	for _, tt := range tests {
		tr := textTree(t, map[string]string{"p/p.go": "// Package p is.\npackage p\n\n" + tt.source + "\n"})
		wantProblems(t, fmt.Sprintf("checkDocs(%q)", tt.source), checkDocs(tr), tt.want)
	}
	tr := textTree(t, map[string]string{
		"internal/p/p.go":   "package p\nfunc F()\n",
		"examples/a/b/b.go": "package b\nfunc F()\n",
		"main.go":           "package main\nfunc F()\n",
		"q/q_test.go":       "package q\nfunc F()\n",
	})
	wantProblems(t, "checkDocs(no public package)", checkDocs(tr), nil)
}

func TestCheckDocsLinks(t *testing.T) {
	tests := []struct {
		comment string
		want    []string
	}{
		{"Of [T], [*T], [T.M], [T.F], [I.N], [C], [V] and [F].", nil},
		{"Of [kith.ID], [*kith.ID] and [kith.ID.String].", nil},
		{"Of [p.T] and of [" + modulePath + "/internal.ID].", []string{"not a public package"}},
		{"Of [io.Reader], [net/http.Request], [bytes] and [crypto/rand].", nil},
		{"Of index [i], list [1], map[string]T and T[P].", nil},
		{"Code:\n\n\tx := y[Nothing]\n\tz [Nothing]", nil},
		{"Of\n[Nothing].", []string{"p/p.go:7: doc link [Nothing]: " + modulePath + "/p declares no such symbol"}},
		{"Of [*Nothing].", []string{"[*Nothing]"}},
		{"Of [T.Nothing].", []string{"[T.Nothing]"}},
		{"Of [T.Read].", []string{"[T.Read]"}},
		{"Of [kith.Nothing].", []string{"[kith.Nothing]: " + modulePath + " declares"}},
		{"Of [kith.ID.Nothing].", []string{"[kith.ID.Nothing]"}},
		{"Of [mux.Conn].", []string{"package p does not import mux"}},
		{"Of [github.com/other/thing].", []string{"package p does not import github.com/other/thing"}},
		{"Of [" + modulePath + "/none.X].", []string{"not a public package"}},
		{"Of [transport/quic].", nil},
		{"Of [internal/mux] and [internal/mux.Conn].", []string{"write the full path", "write the full path"}},
		{"A list:\n\n  - item [Nothing]", []string{"[Nothing]"}},
	}
	const source = `// Package p is.
package p

import kith "` + modulePath + `"

%s
type T struct {
	// F is.
	F kith.ID
	R
}

// M does.
func (*T) M() {}

// I is.
type I interface {
	// N does.
	N()
}

// C, V and F are.
const C = 1

// V is.
var V int

// F does.
func F() {}

// R is.
type R interface {
	// Read does.
	Read()
}
`
	for _, tt := range tests {
		doc := "// " + strings.ReplaceAll(tt.comment, "\n", "\n// ")
		tr := textTree(t, map[string]string{
			"kith.go": "// Package kith is.\npackage kith\n\n// ID is.\ntype ID int\n\n// String does.\nfunc (ID) String() string\n",
			"p/p.go":  strings.Replace(source, "%s", doc, 1),

			"internal/mux/m.go": "package mux\n",
		})
		wantProblems(t, fmt.Sprintf("checkDocs(%q)", tt.comment), checkDocs(tr), tt.want)
	}
}
