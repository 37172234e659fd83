package discovery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kith-go/kith/discovery"
)

// Tags are what other releases and nodes make of the same names; they are fixed for good.
func TestTags(t *testing.T) {
	secret := [32]byte{1, 2, 3}
	for _, tt := range []struct {
		what string
		tag  discovery.Tag
		want string
	}{
		{"Public(home).Network()", discovery.Public("home").Network(), "8db0afc3e7ef4dae"},
		{"Public(home).Service(a/B)", discovery.Public("home").Service("a/B"), "32a99eed22df8016"},
		{"Private.Network()", discovery.Private(secret).Network(), "4bec7ee2eab541d2"},
		{"Private.Service(a/B)", discovery.Private(secret).Service("a/B"), "d3e1b79b568ba233"},
	} {
		if got := fmt.Sprintf("%x", tt.tag); got != tt.want {
			t.Errorf("%s = %s, want %s", tt.what, got, tt.want)
		}
	}
}

// A namespace does not print its key.
func TestNamespaceHidesItsKey(t *testing.T) {
	n := discovery.Private([32]byte{1, 2, 3})
	want := fmt.Sprintf("discovery.Namespace(%x)", n.Network())
	for _, format := range []string{"%v", "%+v", "%s"} {
		if got := fmt.Sprintf(format, n); got != want {
			t.Errorf("Sprintf(%q) = %s, want %s", format, got, want)
		}
	}
	if strings.Contains(want, "010203") {
		t.Errorf("%s shows the secret", want)
	}
}
