package kith_test

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// modulePath is the path of this module, and so of its root package.
const modulePath = "github.com/kith-go/kith"

// A tree is every Go package of one module, parsed. Nested modules, testdata and hidden folders are
// no part of it.
type tree struct {
	fset *token.FileSet
	pkgs []*goPackage // sorted by dir
}

// A goPackage is one folder with Go files.
type goPackage struct {
	dir   string    // slash-separated, "." for the root
	name  string    // as its files other than tests say; "" if it has only tests
	files []*goFile // other than tests
	tests []*goFile
}

// A goFile is one parsed source file.
type goFile struct {
	path  string // slash-separated, relative to the root
	lines int
	ast   *ast.File
}

// loadTree parses the module at the root of fsys.
func loadTree(fsys fs.FS) (*tree, error) {
	t := &tree{fset: token.NewFileSet()}
	byDir := make(map[string]*goPackage)
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipDir(fsys, p):
			return fs.SkipDir
		case d.IsDir() || path.Ext(p) != ".go" || hidden(path.Base(p)):
			return nil
		}
		f, err := t.parse(fsys, p)
		if err != nil {
			return err
		}
		dir := path.Dir(p)
		if byDir[dir] == nil {
			byDir[dir] = &goPackage{dir: dir}
			t.pkgs = append(t.pkgs, byDir[dir])
		}
		byDir[dir].add(f)
		return nil
	})
	slices.SortFunc(t.pkgs, func(a, b *goPackage) int { return cmp.Compare(a.dir, b.dir) })
	return t, err
}

// skipDir reports whether the folder p is outside of the module's packages.
func skipDir(fsys fs.FS, p string) bool {
	if p == "." {
		return false
	}
	base := path.Base(p)
	if hidden(base) || base == "testdata" || base == "vendor" {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(p, "go.mod"))
	return err == nil
}

// hidden reports whether the go command passes over a file or folder of this name.
func hidden(base string) bool { return base[0] == '.' || base[0] == '_' }

func (t *tree) parse(fsys fs.FS, p string) (*goFile, error) {
	src, err := fs.ReadFile(fsys, p)
	if err != nil {
		return nil, err
	}
	f, err := parser.ParseFile(t.fset, p, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", p, err)
	}
	return &goFile{path: p, lines: bytes.Count(src, []byte("\n")), ast: f}, nil
}

func (p *goPackage) add(f *goFile) {
	if strings.HasSuffix(f.path, "_test.go") {
		p.tests = append(p.tests, f)
		return
	}
	p.files = append(p.files, f)
	p.name = f.ast.Name.Name
}

// importPath is what others import p by.
func (p *goPackage) importPath() string { return path.Join(modulePath, p.dir) }

// public reports whether importers of the module can use p and its API is promised to them.
func (p *goPackage) public() bool {
	return p.name != "" && p.name != "main" && !isInternal(p.dir) && !isExample(p.dir)
}

func isInternal(dir string) bool { return slices.Contains(strings.Split(dir, "/"), "internal") }

func isExample(dir string) bool { return strings.HasPrefix(dir, "examples/") }

// asts returns the syntax of p's files other than tests.
func (p *goPackage) asts() []*ast.File {
	var files []*ast.File
	for _, f := range p.files {
		files = append(files, f.ast)
	}
	return files
}

// problem formats a failure that an editor can jump to.
func (t *tree) problem(pos token.Pos, format string, args ...any) string {
	p := t.fset.Position(pos)
	return fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

// imports returns the paths that f imports, with where.
func (f *goFile) imports() map[string]token.Pos {
	paths := make(map[string]token.Pos)
	for _, spec := range f.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths[p] = spec.Pos()
		}
	}
	return paths
}

// receiver returns the name of the type that d is a method of, or "".
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	return typeName(d.Recv.List[0].Type)
}

// typeName returns the name in T, *T, pkg.T or T[P], or "".
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ParenExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// exportedFunc reports whether d is an exported function, or an exported method of an exported type.
func exportedFunc(d *ast.FuncDecl) bool {
	return d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d)))
}

// liveTree parses the module that the test runs in.
func liveTree(t *testing.T) *tree {
	t.Helper()
	tr, err := loadTree(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// textFS makes a file system of path and text pairs.
func textFS(files map[string]string) fs.FS {
	m := make(fstest.MapFS)
	for p, text := range files {
		m[p] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

// textTree parses a module given as text.
func textTree(t *testing.T, files map[string]string) *tree {
	t.Helper()
	tr, err := loadTree(textFS(files))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// report fails t once for each problem.
func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

// wantProblems fails t unless got has just as many lines as want, each containing its counterpart.
func wantProblems(t *testing.T, call string, got, want []string) {
	t.Helper()
	same := func(g, w string) bool { return strings.Contains(g, w) }
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("%s = %q, want lines containing %q", call, got, want)
	}
}

func TestLoadTree(t *testing.T) {
	tr := textTree(t, map[string]string{
		"go.mod":              "module m\n",
		"a.go":                "package kith\n",
		"a_test.go":           "package kith_test\n",
		"testdata/x.go":       "not Go",
		"vendor/v/v.go":       "not Go",
		".ci/x.go":            "not Go",
		"_old/x.go":           "not Go",
		"_x.go":               "not Go",
		"bench/go.mod":        "module bench\n",
		"bench/deep/x.go":     "not Go",
		"transport/t.go":      "package transport\n\nvar x int\n",
		"only/only_test.go":   "package only\n",
		"internal/mux/m.go":   "package mux\n",
		"examples/hi/main.go": "package main\n",
	})
	var got []string
	for _, p := range tr.pkgs {
		got = append(got, fmt.Sprintf("%s %q %d+%d %t", p.dir, p.name, len(p.files), len(p.tests), p.public()))
	}
	want := []string{
		`. "kith" 1+1 true`,
		`examples/hi "main" 1+0 false`,
		`internal/mux "mux" 1+0 false`,
		`only "" 0+1 false`,
		`transport "transport" 1+0 true`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("loadTree() = %q, want %q", got, want)
	}
	if _, err := loadTree(textFS(map[string]string{"a.go": "not Go"})); err == nil {
		t.Error("loadTree(a broken file) = nil error, want one")
	}
}
