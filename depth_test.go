package kith_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"github.com/kith-go/kith"
)

// nested returns a JSON value that is n arrays deep.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestJSONDepth(t *testing.T) {
	quotes := `"` + strings.Repeat(`[{\"`, 100) + `\\"`
	for _, tc := range []struct {
		name, text string
		ok         bool
	}{
		{"as deep as may be", nested(64), true},
		{"too deep", nested(65), false},
		{"very deep", nested(5000), false},
		{"deep objects", strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65), false},
		{"many side by side", "[" + strings.Repeat("[{}],", 1000) + "1]", true},
		{"brackets in strings", "[" + quotes + "," + quotes + "]", true},
		{"deep behind a string", `["]]]\"[[",` + nested(64) + "]", false},
		{"broken", strings.Repeat("[", 64) + strings.Repeat("]", 1), false},
		{"string without end", strings.Repeat("[", 64) + `"[[[[\`, false},
	} {
		var v any
		err := kith.JSON.Decode([]byte(tc.text), &v)
		if (err == nil) != tc.ok {
			t.Errorf("%s: Decode = %v, want it to succeed: %v", tc.name, err, tc.ok)
		}
	}
	var v any
	if err := kith.JSON.Decode([]byte(nested(65)), &v); err == nil || !strings.Contains(err.Error(), "deeper than 64") {
		t.Errorf("Decode of 65 levels = %v, want it to name the limit", err)
	}
}

// depthOf is how deep data is nested, as encoding/json sees it, and whether it
// is JSON at all.
func depthOf(data []byte) (deepest int, ok bool) {
	if !json.Valid(data) {
		return 0, false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // or one that float64 has no room for would end the walk
	for depth := 0; ; {
		t, err := d.Token()
		if err != nil {
			return deepest, true
		}
		switch t {
		case json.Delim('['), json.Delim('{'):
			depth++
			deepest = max(deepest, depth)
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
}

func FuzzJSONDepth(f *testing.F) {
	for _, s := range []string{nested(64), nested(65), `{"a":"\\\"[[["}`, `"\`, `[[]`, strings.Repeat(`[{"a":[`, 30)} {
		f.Add([]byte(s), 1)
	}
	f.Fuzz(func(t *testing.T, data []byte, wrap int) {
		wrap = max(0, wrap%80)
		data = append(append(bytes.Repeat([]byte("["), wrap), data...), bytes.Repeat([]byte("]"), wrap)...)
		depth, valid := depthOf(data)
		var v json.RawMessage // which takes any JSON: an any has no room for 1E700
		err := kith.JSON.Decode(data, &v)
		if valid && (err != nil) != (depth > kith.MaxDepth) {
			t.Errorf("Decode(%q) of depth %d = %v", data, depth, err)
		}
	})
}

// What a message makes the decoder hold is in proportion to its length, whatever
// is in it: this is the worst, into values of no fixed type.
func TestJSONAmplification(t *testing.T) {
	const size, most = 1 << 20, 128
	fill := func(s string) []byte { return []byte("[" + strings.Repeat(s+",", size/(len(s)+1)) + "1]") }
	for name, data := range map[string][]byte{
		"numbers":         fill("1"),
		"empty arrays":    fill("[]"),
		"empty objects":   fill("{}"),
		"arrays of one":   fill("[0]"),
		"objects of one":  fill(`{"":0}`),
		"empty strings":   fill(`""`),
		"broken UTF-8":    []byte(`"` + strings.Repeat("\xff", size) + `"`),
		"deep, all along": fill(nested(62)),
		"exponents":       fill("1e308"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var v any
		if err := kith.JSON.Decode(data, &v); err != nil {
			t.Errorf("%s: Decode = %v", name, err)
		}
		runtime.ReadMemStats(&after)
		times := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(data))
		t.Logf("%s: %.1f bytes allocated for each that came", name, times)
		if times > most {
			t.Errorf("%s: %.1f bytes allocated for each that came, want %d at most", name, times, most)
		}
	}
}

func BenchmarkJSONDecode(b *testing.B) {
	type note struct {
		Name string
		Size int
		Tags []string
	}
	small, err := json.Marshal(note{"a name", 4711, []string{"one", "two", "three"}})
	if err != nil {
		b.Fatal(err)
	}
	large, err := json.Marshal(make([]note, 1000))
	if err != nil {
		b.Fatal(err)
	}
	bench := func(name string, data []byte, decode func([]byte, any) error, v any) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := decode(data, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	bench("small/kith", small, kith.JSON.Decode, new(note))
	bench("small/encoding", small, json.Unmarshal, new(note))
	bench("large/kith", large, kith.JSON.Decode, new([]note))
	bench("large/encoding", large, json.Unmarshal, new([]note))
}
