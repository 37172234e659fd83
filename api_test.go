package kith_test

import (
	"flag"
	"go/ast"
	"go/printer"
	"go/token"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite api.txt from the source")

// TestAPI compares the exported API of the public packages with api.txt, so that a change of it is seen
// in review.
func TestAPI(t *testing.T) {
	const file = "api.txt"
	got := apiOf(liveTree(t))
	if *update {
		var text strings.Builder
		for _, line := range got {
			text.WriteString(line + "\n")
		}
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
	if diff := diffLines(want, got); len(diff) > 0 {
		t.Errorf("the exported API differs from %s (- there, + in the source):\n%s\n"+
			"If that is meant, run: go test -run TestAPI -update .", file, strings.Join(diff, "\n"))
	}
}

// apiOf returns a line for each exported symbol of the public packages, sorted. Made from syntax alone,
// it shows what the source says: an inferred type shows as what it is inferred from.
func apiOf(t *tree) []string {
	set := make(apiSet)
	for _, p := range t.pkgs {
		if !p.public() {
			continue
		}
		pkg := path.Join("kith", p.dir)
		for _, f := range p.files {
			dropFieldComments(f.ast)
			for _, decl := range f.ast.Decls {
				switch decl := decl.(type) {
				case *ast.FuncDecl:
					set.addFunc(pkg, decl)
				case *ast.GenDecl:
					set.addSpecs(pkg, decl)
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// dropFieldComments keeps the printer from showing comments inside of a type.
func dropFieldComments(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok {
			field.Doc, field.Comment = nil, nil
		}
		return true
	})
}

// An apiSet holds lines; a symbol that several platforms declare alike is there once.
type apiSet map[string]struct{}

func (s apiSet) add(words ...string) {
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	s[strings.Join(words, " ")] = struct{}{}
}

func (s apiSet) addFunc(pkg string, d *ast.FuncDecl) {
	if !exportedFunc(d) {
		return
	}
	kind, name := "func", d.Name.Name
	if d.Recv != nil {
		kind, name = "method", "("+render(d.Recv.List[0].Type)+") "+name
	}
	s.add(pkg, kind, name+signature(d.Type))
}

func (s apiSet) addSpecs(pkg string, d *ast.GenDecl) {
	var last *ast.ValueSpec // of a const group: the one that the specs below it repeat
	for i, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() {
				s.addType(pkg, spec)
			}
		case *ast.ValueSpec:
			if last == nil || spec.Type != nil || spec.Values != nil {
				last = spec
			}
			s.addValues(pkg, d.Tok, spec.Names, last, i)
		}
	}
}

// addValues adds the exported names, which have the type and the values of spec.
func (s apiSet) addValues(pkg string, tok token.Token, names []*ast.Ident, spec *ast.ValueSpec, index int) {
	for i, name := range names {
		if !name.IsExported() {
			continue
		}
		typ, value := "", ""
		if spec.Type != nil {
			typ = render(spec.Type)
		}
		switch {
		case i >= len(spec.Values):
		case tok == token.CONST:
			value = "= " + constant(spec.Values[i], index)
		case typ == "":
			value = "= " + origin(spec.Values[i])
		}
		s.add(pkg, tok.String(), name.Name, typ, value)
	}
}

func (s apiSet) addType(pkg string, spec *ast.TypeSpec) {
	name := spec.Name.Name
	head := &ast.TypeSpec{Name: spec.Name, TypeParams: spec.TypeParams, Assign: spec.Assign, Type: spec.Type}
	switch typ := spec.Type.(type) {
	case *ast.StructType:
		head.Type = ast.NewIdent("struct")
		s.addFields(pkg, name, typ.Fields)
	case *ast.InterfaceType:
		head.Type = ast.NewIdent("interface")
		s.addFields(pkg, name, typ.Methods)
	}
	s.add(pkg, "type", render(head))
}

// addFields adds the fields of a struct, or the methods of an interface and what it embeds.
func (s apiSet) addFields(pkg, typ string, list *ast.FieldList) {
	for _, f := range list.List {
		if len(f.Names) == 0 {
			s.add(pkg, "embed", typ, render(f.Type), tag(f))
		}
		for _, name := range f.Names {
			fn, isMethod := f.Type.(*ast.FuncType)
			isMethod = isMethod && !fn.Func.IsValid()
			switch {
			case !name.IsExported() && isMethod:
				s.add(pkg, "method", typ+"."+name.Name, "(unexported: nobody else can implement it)")
			case !name.IsExported():
			case isMethod:
				s.add(pkg, "method", typ+"."+name.Name+signature(fn))
			default:
				s.add(pkg, "field", typ+"."+name.Name, render(f.Type), tag(f))
			}
		}
	}
}

func tag(f *ast.Field) string {
	if f.Tag == nil {
		return ""
	}
	return f.Tag.Value
}

// constant renders a constant's value; where it counts with iota, with the count.
func constant(e ast.Expr, index int) string {
	text := render(e)
	ast.Inspect(e, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == "iota" {
			text = render(e) + " (iota " + strconv.Itoa(index) + ")"
		}
		return true
	})
	return text
}

// origin says where a variable without a type has it from: the function called, the type of a literal.
func origin(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.CallExpr:
		return render(e.Fun) + "(...)"
	case *ast.CompositeLit:
		return render(e.Type) + "{...}"
	case *ast.UnaryExpr:
		return e.Op.String() + origin(e.X)
	case *ast.FuncLit:
		return render(e.Type)
	}
	return render(e)
}

// signature renders type parameters, parameters and results.
func signature(f *ast.FuncType) string { return strings.TrimPrefix(render(f), "func") }

// render prints a node on one line.
func render(n ast.Node) string {
	var text strings.Builder
	// A file set that knows no position keeps the printer from breaking lines as the source did.
	if err := printer.Fprint(&text, token.NewFileSet(), n); err != nil {
		return err.Error()
	}
	line := ""
	for part := range strings.Lines(text.String()) {
		part = strings.Join(strings.Fields(part), " ")
		switch {
		case line == "" || part == "":
		case strings.HasSuffix(line, "{"), strings.HasPrefix(part, "}"):
			line += " "
		default:
			line += "; "
		}
		line += part
	}
	return line
}

// diffLines returns the lines of only one of two sorted lists, marked - for want and + for got.
func diffLines(want, got []string) []string {
	var diff []string
	for _, line := range want {
		if _, found := slices.BinarySearch(got, line); !found {
			diff = append(diff, "- "+line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			diff = append(diff, "+ "+line)
		}
	}
	// Side by side: what changed is next to what it was.
	slices.SortStableFunc(diff, func(a, b string) int { return strings.Compare(a[2:], b[2:]) })
	return diff
}

func TestAPIOf(t *testing.T) {
	const source = `// Package p is.
package p

const A, b = 1, 2

const (
	C Code = iota
	_
	D
	E = "e"
)

var (
	V     int
	ErrV  = errors.New("text")
	Key   = &T{1}
	v, W  = 1, func(int) {}
)

// Call has parameters on several lines.
func Call[Req, Resp any](
	ctx context.Context, // why
	req Req,
) (_ Resp, err error) {
	return
}

func call() {}

type T struct {
	// A and B are.
	A, B int ` + "`json:\"a\"`" + `
	c    int
	F    func(int) error
	S    struct{ X, Y int }
	io.Reader
	*hidden
}

func (t *T) M(a, b int) string { return "" }
func (t T) m()                 {}

type hidden struct{ X int }

func (hidden) M() {}

type D2[S, R any] struct{}

func (d *D2[S, R]) Send(s S) error { return nil }

type I interface {
	Read(p []byte) (n int, err error)
	Close() error
	sealed()
	fmt.Stringer
}

type N interface{ ~int | ~string }

type ID [32]byte
type H func(ctx context.Context) error
type Alias = map[string]struct {
	A int // is
	B int
}
`
	const want = `kith/p const A = 1
kith/p const C Code = iota (iota 0)
kith/p const D Code = iota (iota 2)
kith/p const E = "e"
kith/p embed I fmt.Stringer
kith/p embed N ~int | ~string
kith/p embed T *hidden
kith/p embed T io.Reader
kith/p field T.A int ` + "`json:\"a\"`" + `
kith/p field T.B int ` + "`json:\"a\"`" + `
kith/p field T.F func(int) error
kith/p field T.S struct{ X, Y int }
kith/p func Call[Req, Resp any](ctx context.Context, req Req) (_ Resp, err error)
kith/p method (*D2[S, R]) Send(s S) error
kith/p method (*T) M(a, b int) string
kith/p method I.Close() error
kith/p method I.Read(p []byte) (n int, err error)
kith/p method I.sealed (unexported: nobody else can implement it)
kith/p type Alias = map[string]struct { A int; B int }
kith/p type D2[S, R any] struct
kith/p type H func(ctx context.Context) error
kith/p type I interface
kith/p type ID [32]byte
kith/p type N interface
kith/p type T struct
kith/p var ErrV = errors.New(...)
kith/p var Key = &T{...}
kith/p var V int
kith/p var W = func(int)`
	got := apiOf(textTree(t, map[string]string{
		"p/p.go":          source,
		"p/p_test.go":     "package p\n\nfunc InTest() {}\n",
		"p/p_windows.go":  "package p\n\nfunc (t *T) M(a, b int) string { return \"\" }\n",
		"internal/x/x.go": "package x\n\nfunc Internal() {}\n",
		"cmd/x/main.go":   "package main\n\nfunc Main() {}\n",
	}))
	if diff := diffLines(strings.Split(want, "\n"), got); len(diff) > 0 {
		t.Errorf("apiOf() differs (- wanted, + got):\n%s", strings.Join(diff, "\n"))
	}
	if got := apiOf(textTree(t, map[string]string{"a.go": "package kith\n\nfunc F()\n"})); !slices.Equal(got, []string{"kith func F()"}) {
		t.Errorf("apiOf(the root) = %q, want the package named kith", got)
	}
}

func TestDiffLines(t *testing.T) {
	got := diffLines([]string{"a", "b 1", "c"}, []string{"b 2", "c", "d"})
	want := []string{"- a", "- b 1", "+ b 2", "+ d"}
	if !slices.Equal(got, want) {
		t.Errorf("diffLines() = %q, want %q", got, want)
	}
}
