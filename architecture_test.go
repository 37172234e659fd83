package kith_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// archName is how docs/architecture.md names a function: package.Type.Method
// or package.Func, in backquotes.
var archName = regexp.MustCompile("`([a-z]+)\\.((?:[A-Za-z]+\\.)?[A-Za-z]+)`")

// archDirs are the packages that docs/architecture.md speaks of.
var archDirs = map[string]string{
	"kith": ".", "client": "client", "server": "server", "session": "internal/session", "mux": "internal/mux",
	"peer": "peer",
}

func TestArchitectureNamesExist(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]map[string]bool)
	found := 0
	for _, m := range archName.FindAllStringSubmatch(string(text), -1) {
		pkg, name := m[1], m[2]
		dir, ok := archDirs[pkg]
		if !ok {
			t.Errorf("docs/architecture.md names %s.%s of an unknown package", pkg, name)
			continue
		}
		if names[pkg] == nil {
			names[pkg] = declared(t, dir)
		}
		if !names[pkg][name] {
			t.Errorf("docs/architecture.md names %s.%s, which does not exist", pkg, name)
		}
		found++
	}
	if found < 20 {
		t.Errorf("docs/architecture.md names %d functions, want the way of a call", found)
	}
}

// declared returns the functions ("F") and methods ("T.M") of the package in dir.
func declared(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]bool)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				all[strings.TrimPrefix(receiver(fn)+"."+fn.Name.Name, ".")] = true
			}
		}
	}
	return all
}
