package wire_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocument compares the golden bytes in docs/wire.md with testdata: each
// file must be there, as it is.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "wire.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := hexBlocks(string(text))
	files, err := filepath.Glob("testdata/*.hex")
	if err != nil || len(files) == 0 {
		t.Fatalf("Glob(testdata/*.hex) = %d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".hex")
		if _, ok := shown[name]; !ok {
			t.Errorf("docs/wire.md does not show %s", name)
		}
	}
	for name, digits := range shown {
		got, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			t.Errorf("docs/wire.md: %s: %v", name, err)
			continue
		}
		if want := golden(t, name); string(got) != string(want) {
			t.Errorf("docs/wire.md: %s = % x, want % x", name, got, want)
		}
	}
}

// hexBlocks returns what blocks marked hex say: "name: 01 02", where further
// lines of the same bytes begin with a space.
func hexBlocks(text string) map[string]string {
	shown := make(map[string]string)
	inside, name := false, ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "```hex":
			inside = true
		case strings.HasPrefix(line, "```"):
			inside = false
		case !inside:
		case strings.HasPrefix(line, " "):
			shown[name] += line
		default:
			name, line, _ = strings.Cut(line, ":")
			shown[name] += line
		}
	}
	return shown
}

func TestHexBlocks(t *testing.T) {
	got := hexBlocks("a: 00\n```hex\nb: 01 02\n  03\nc:\n```\nd: 04\n```go\ne: 05\n```\n")
	if len(got) != 2 || got["b"] != " 01 02  03" || got["c"] != "" {
		t.Errorf("hexBlocks = %q, want b and c", got)
	}
}
