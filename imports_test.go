package kith_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// layers says which packages of this module a package may import, itself named by its folder. The root
// is allowed for every package and so not listed. Tests are exempt. Edit this table before the import.
var layers = map[string][]string{
	".": {},

	"internal/backoff":  {},
	"internal/bar":      {},
	"internal/budget":   {},
	"internal/flood":    {},
	"internal/identity": {},
	"internal/leak":     {},
	"internal/mux":      {"transport", "internal/budget", "internal/ration"},
	"internal/netns":    {},
	"internal/ration":   {},
	"internal/session":  {"transport", "transport/admit", "internal/wire", "internal/mux", "internal/ration"},
	"internal/wire":     {},

	"transport":               {},
	"transport/admit":         {"transport"},
	"transport/memory":        {"transport"},
	"transport/netconn":       {"transport", "internal/bar", "internal/identity", "internal/mux", "internal/ration"},
	"transport/quic":          {"transport", "internal/bar", "internal/identity", "internal/budget", "internal/ration"},
	"transport/tcp":           {"transport", "transport/netconn", "internal/bar"},
	"transport/transporttest": {"transport", "transport/netconn", "internal/leak"},

	"client": {"transport", "transport/admit", "internal/backoff", "internal/session"},
	"server": {"transport", "transport/admit", "internal/ration", "internal/session"},

	"discovery":               {},
	"discovery/discoverytest": {"discovery", "internal/leak"},
	"discovery/mdns":          {"discovery", "internal/ration"},
	"discovery/static":        {"discovery"},

	"peer/peertest": {"discovery", "peer", "transport", "transport/memory"},
	"peer": {
		"client", "server", "internal/backoff", "internal/ration", "internal/session",
		"discovery", "discovery/mdns",
		"transport", "transport/admit", "transport/quic", "transport/tcp",
	},
}

// anyone, in dependencies, stands for every package but the root.
const anyone = "*"

// dependencies says which packages may import another module. Tests may import any of them. What is not
// here is not a dependency of kith: it belongs into a nested module.
var dependencies = map[string][]string{
	"github.com/quic-go/quic-go": {"transport/quic", "peer"},
	"github.com/hashicorp/mdns":  {"discovery/mdns", "peer"},
	"github.com/miekg/dns":       {"discovery/mdns"},
	"golang.org/x/net":           {anyone},
	"golang.org/x/sync":          {anyone},
	"golang.org/x/sys":           {anyone},
	"golang.org/x/time":          {anyone},
	"go.uber.org/goleak":         {},
}

// Sizes in lines above which a file is refused (house style, "Layout").
const (
	maxFileLines = 600
	maxTestLines = 800
)

func TestLayers(t *testing.T) { report(t, checkLayers(liveTree(t))) }

func TestLayersNamesOnlyRows(t *testing.T) {
	for dir, allowed := range layers {
		for _, a := range allowed {
			if _, ok := layers[a]; !ok {
				t.Errorf("layers[%q] allows %q, which has no line of its own", dir, a)
			}
		}
	}
}

func TestFileSizes(t *testing.T) { report(t, checkSizes(liveTree(t))) }

func TestPackageComments(t *testing.T) { report(t, checkPackageComments(liveTree(t))) }

// checkLayers returns the imports that layers and dependencies do not allow.
func checkLayers(t *tree) []string {
	var problems []string
	for _, p := range t.pkgs {
		if _, ok := layers[p.dir]; !ok && p.name != "" && !isExample(p.dir) {
			problems = append(problems, t.problem(p.files[0].ast.Package,
				"package %s has no line in the layers table of imports_test.go: add the line first", p.dir))
			continue
		}
		for _, f := range p.files {
			problems = append(problems, checkImports(t, f, p.mayImport)...)
		}
		for _, f := range p.tests {
			problems = append(problems, checkImports(t, f, testMayImport)...)
		}
	}
	return problems
}

func checkImports(t *tree, f *goFile, allowed func(imported string) error) []string {
	var problems []string
	paths := f.imports()
	for _, imported := range slices.Sorted(maps.Keys(paths)) {
		if err := allowed(imported); err != nil {
			problems = append(problems, t.problem(paths[imported], "import %q: %v", imported, err))
		}
	}
	return problems
}

// mayImport returns nil if a file of p other than a test may import the path.
func (p *goPackage) mayImport(imported string) error {
	if isStd(imported) {
		return nil
	}
	if dir, ok := moduleDir(imported); ok {
		switch {
		case isExample(p.dir) && isInternal(dir):
			return errors.New("examples may import public packages only")
		case isExample(p.dir) || dir == "." || slices.Contains(layers[p.dir], dir):
			return nil
		}
		return fmt.Errorf("the layers table of imports_test.go does not let %s import it", p.dir)
	}
	if p.dir == "." {
		return errors.New("the root package imports the standard library only")
	}
	importers, ok := dependencyOf(imported)
	switch {
	case !ok:
		return errors.New("not in the dependencies table of imports_test.go")
	case slices.Contains(importers, anyone), slices.Contains(importers, p.dir):
		return nil
	}
	return fmt.Errorf("the dependencies table of imports_test.go does not let %s import it", p.dir)
}

// testMayImport returns nil for everything in this module and in its dependencies.
func testMayImport(imported string) error {
	_, ours := moduleDir(imported)
	_, listed := dependencyOf(imported)
	if isStd(imported) || ours || listed {
		return nil
	}
	return errors.New("not in the dependencies table of imports_test.go")
}

// isStd reports whether the path is in the standard library: its first element has no dot.
func isStd(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// moduleDir returns the folder of a package of this module.
func moduleDir(imported string) (string, bool) {
	if imported == modulePath {
		return ".", true
	}
	return strings.CutPrefix(imported, modulePath+"/")
}

// dependencyOf returns who may import a package of another module.
func dependencyOf(imported string) (importers []string, ok bool) {
	for module, importers := range dependencies {
		if imported == module || strings.HasPrefix(imported, module+"/") {
			return importers, true
		}
	}
	return nil, false
}

// checkSizes returns the files that are too long.
func checkSizes(t *tree) []string {
	var problems []string
	check := func(files []*goFile, limit int) {
		for _, f := range files {
			if f.lines > limit {
				problems = append(problems, fmt.Sprintf("%s:%d: %d lines, want at most %d", f.path, limit+1, f.lines, limit))
			}
		}
	}
	for _, p := range t.pkgs {
		check(p.files, maxFileLines)
		check(p.tests, maxTestLines)
	}
	return problems
}

// checkPackageComments returns the packages without a comment that begins "Package x"; the comment of
// a program may begin as it likes.
func checkPackageComments(t *tree) []string {
	var problems []string
	for _, p := range t.pkgs {
		start := "Package " + p.name + " "
		if p.name == "main" {
			start = ""
		}
		documented := slices.ContainsFunc(p.files, func(f *goFile) bool {
			return f.ast.Doc != nil && strings.HasPrefix(f.ast.Doc.Text(), start)
		})
		if len(p.files) > 0 && !documented {
			problems = append(problems, t.problem(p.files[0].ast.Package,
				"package %s has no package comment that begins %q", p.dir, start))
		}
	}
	return problems
}

func TestCheckLayers(t *testing.T) {
	const (
		kith  = `"` + modulePath + `"`
		sub   = `"` + modulePath + `/`
		quic  = `"github.com/quic-go/quic-go"`
		mdns  = `"github.com/hashicorp/mdns"`
		leak  = `"go.uber.org/goleak"`
		alien = `"github.com/other/thing"`
	)
	tests := []struct {
		file, imported string
		want           []string
	}{
		{"a.go", `"net/http"`, nil},
		{"a.go", sub + `transport"`, []string{"a.go:3: import \"" + modulePath + "/transport\": the layers table"}},
		{"a.go", `"golang.org/x/sync/errgroup"`, []string{"standard library only"}},
		{"a_test.go", sub + `internal/mux"`, nil},
		{"a_test.go", leak, nil},
		{"a_test.go", alien, []string{"not in the dependencies table"}},
		{"transport/t.go", kith, nil},
		{"transport/t.go", sub + `transport/memory"`, []string{"does not let transport import it"}},
		{"transport/t.go", quic, []string{"does not let transport import it"}},
		{"transport/t.go", leak, []string{"does not let transport import it"}},
		{"transport/t.go", alien, []string{"not in the dependencies table"}},
		{"transport/t.go", `"golang.org/x/sys/unix"`, nil},
		{"transport/quic/q.go", `"github.com/quic-go/quic-go/logging"`, nil},
		{"transport/quic/q.go", `"github.com/quic-go/quic-go-not"`, []string{"not in the dependencies table"}},
		{"transport/quic/q.go", mdns, []string{"does not let transport/quic import it"}},
		{"peer/p.go", mdns, nil},
		{"peer/p.go", quic, nil},
		{"client/c.go", sub + `internal/session"`, nil},
		{"client/c.go", sub + `server"`, []string{"does not let client import it"}},
		{"discovery/mdns/m.go", sub + `discovery"`, nil},
		{"surprise/s.go", `"fmt"`, []string{"surprise/s.go:1: package surprise has no line in the layers table"}},
		{"surprise/s_test.go", sub + `client"`, nil},
		{"examples/hi/main.go", sub + `client"`, nil},
		{"examples/hi/main.go", sub + `examples/hi/hiapi"`, nil},
		{"examples/hi/main.go", sub + `internal/session"`, []string{"public packages only"}},
		{"examples/hi/main.go", quic, []string{"does not let examples/hi import it"}},
	}
	for _, tt := range tests {
		tr := textTree(t, map[string]string{tt.file: "package p\n\nimport _ " + tt.imported + "\n"})
		call := fmt.Sprintf("checkLayers(%s imports %s)", tt.file, tt.imported)
		wantProblems(t, call, checkLayers(tr), tt.want)
	}
}

func TestCheckSizes(t *testing.T) {
	lines := func(n int) string { return "package p\n" + strings.Repeat("\n", n-1) }
	tr := textTree(t, map[string]string{
		"a.go":        lines(maxFileLines),
		"a_test.go":   lines(maxTestLines),
		"b/b.go":      lines(maxFileLines + 1),
		"b/b_test.go": lines(maxTestLines + 1),
	})
	wantProblems(t, "checkSizes()", checkSizes(tr), []string{
		"b/b.go:601: 601 lines, want at most 600",
		"b/b_test.go:801: 801 lines, want at most 800",
	})
}

func TestCheckPackageComments(t *testing.T) {
	tr := textTree(t, map[string]string{
		"a/a.go":      "package a\n",
		"a/doc.go":    "// Package a is good.\npackage a\n",
		"b/b.go":      "// Package bb is bad.\npackage b\n",
		"c/c.go":      "// Package c is cut off.\n\npackage c\n",
		"d/d_test.go": "package d\n",
		"e/main.go":   "// This program is good.\npackage main\n",
		"f/main.go":   "package main\n",
	})
	wantProblems(t, "checkPackageComments()", checkPackageComments(tr), []string{
		"b/b.go:2: package b has no package comment",
		"c/c.go:3: package c has no package comment",
		"f/main.go:1: package f has no package comment",
	})
}
