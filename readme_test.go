package kith_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// quickstart is what the README's head tells a newcomer to run.
var quickstart = []string{"go run ./examples/quickstart", "go test ./..."}

// headLines is how many lines of the README a newcomer is expected to read first.
const headLines = 30

func TestReadme(t *testing.T) {
	problems, err := checkReadme(os.DirFS("."), "README.md")
	if err != nil {
		t.Fatal(err)
	}
	report(t, problems)
}

// fromComment stands on the line before a Go block and names what the block is copied from: a file, or
// a file and the function in it whose body it is.
var fromComment = regexp.MustCompile(`^<!-- from: (\S+\.go)(?: (\w+))? -->$`)

// checkReadme returns the Go blocks of a Markdown file that are not what their source says, and the
// commands that its head lacks.
func checkReadme(fsys fs.FS, name string) ([]string, error) {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(string(text), "\n")
	var problems []string
	for _, command := range quickstart {
		if !slices.Contains(lines[:min(headLines, len(lines))], command) {
			problems = append(problems, fmt.Sprintf("%s:1: no line %q in the first %d", name, command, headLines))
		}
	}
	for i := 0; i < len(lines); i++ {
		fence, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "```")
		if !ok {
			continue
		}
		start, before := i, ""
		if start > 0 {
			before = lines[start-1]
		}
		for i++; i < len(lines) && strings.TrimSpace(lines[i]) != "```"; i++ {
		}
		if i == len(lines) {
			return append(problems, fmt.Sprintf("%s:%d: the block has no end", name, start+1)), nil
		}
		if lang, _, _ := strings.Cut(fence, " "); lang != "go" {
			continue
		}
		if err := checkBlock(fsys, before, lines[start+1:i]); err != nil {
			problems = append(problems, fmt.Sprintf("%s:%d: %v", name, start+1, err))
		}
	}
	return problems, nil
}

// checkBlock returns nil if the block is a copy of what the comment before it names.
func checkBlock(fsys fs.FS, before string, block []string) error {
	m := fromComment.FindStringSubmatch(before)
	if m == nil {
		return errors.New("a Go block needs the line before it to be <!-- from: file.go --> or <!-- from: file.go Func -->")
	}
	file, function := m[1], m[2]
	src, err := fs.ReadFile(fsys, file)
	if err != nil {
		return err
	}
	text := string(src)
	if function != "" {
		if text, err = bodyOf(file, text, function); err != nil {
			return err
		}
	}
	want := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := range max(len(want), len(block)) {
		switch {
		case i >= len(block):
			return fmt.Errorf("the block ends before %s does: next is %q", file, want[i])
		case i >= len(want):
			return fmt.Errorf("%s ends before the block does: next is %q", file, block[i])
		case block[i] != want[i]:
			return fmt.Errorf("line %d of the block = %q, want %q from %s", i+1, block[i], want[i], file)
		}
	}
	return nil
}

// bodyOf returns what stands between the braces of a function, less one tab of indentation.
func bodyOf(file, src, function string) (string, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	for _, decl := range f.Decls {
		d, ok := decl.(*ast.FuncDecl)
		if !ok || d.Recv != nil || d.Name.Name != function || d.Body == nil {
			continue
		}
		body := src[fset.Position(d.Body.Lbrace).Offset+1 : fset.Position(d.Body.Rbrace).Offset]
		lines := strings.Split(strings.Trim(body, "\n"), "\n")
		for i := range lines {
			lines[i] = strings.TrimPrefix(lines[i], "\t")
		}
		return strings.Join(lines, "\n"), nil
	}
	return "", fmt.Errorf("%s has no function %s", file, function)
}

func TestCheckReadme(t *testing.T) {
	const (
		head = "# kith\n```sh\ngo run ./examples/quickstart\ngo test ./...\n```\n"
		prog = "package main\n\nfunc main() {\n\tif true {\n\t\tprintln()\n\t}\n}\n"
	)
	tests := []struct {
		readme string
		want   []string
	}{
		{head, nil},
		{"# kith\n", []string{`"go run ./examples/quickstart"`, `"go test ./..."`}},
		{strings.Repeat("\n", 26) + head, nil},
		{strings.Repeat("\n", 27) + head, []string{`"go test ./..." in the first 30`}},
		{head + "<!-- from: main.go -->\n```go\n" + prog + "```\n", nil},
		{head + "<!-- from: main.go main -->\n```go\nif true {\n\tprintln()\n}\n```\n", nil},
		{head + "```go\n" + prog + "```\n", []string{"README.md:6: a Go block needs"}},
		{head + "<!-- from: main.go -->\n\n```go\n" + prog + "```\n", []string{"README.md:8: a Go block needs"}},
		{head + "<!-- from: none.go -->\n```go\n" + prog + "```\n", []string{"none.go: file does not exist"}},
		{head + "<!-- from: main.go none -->\n```go\n```\n", []string{"main.go has no function none"}},
		{head + "<!-- from: main.go -->\n```go\npackage man\n```\n", []string{`line 1 of the block = "package man", want "package main"`}},
		{head + "<!-- from: main.go -->\n```go\npackage main\n```\n", []string{"the block ends before main.go does"}},
		{head + "<!-- from: main.go -->\n```go\n" + prog + "// more\n```\n", []string{"main.go ends before the block does"}},
		{head + "<!-- from: main.go main -->\n```go\nif true {\n```\n", []string{"the block ends before"}},
		{head + "```go\n", []string{"README.md:6: the block has no end"}},
		{head + "```text\n<!-- from: main.go -->\n```\n", nil},
	}
	for _, tt := range tests {
		fsys := textFS(map[string]string{"README.md": tt.readme, "main.go": prog})
		got, err := checkReadme(fsys, "README.md")
		if err != nil {
			t.Errorf("checkReadme(%q) = %v, want nil", tt.readme, err)
		}
		wantProblems(t, fmt.Sprintf("checkReadme(%q)", tt.readme), got, tt.want)
	}
	if _, err := checkReadme(textFS(nil), "README.md"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("checkReadme(no file) = %v, want %v", err, fs.ErrNotExist)
	}
}
