package transport_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// id is an ID that is the same in every run.
var id = func() kith.ID {
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	id, err := kith.IDFromPublicKey(priv.Public().(ed25519.PublicKey))
	if err != nil {
		panic(err)
	}
	return id
}()

func TestParseAddr(t *testing.T) {
	type addr = transport.Addr
	s := id.String()
	for _, tt := range []struct {
		in   string
		want addr
	}{
		{":4433", addr{Host: ":4433"}},
		{":0", addr{Host: ":0"}},
		{"0.0.0.0:0", addr{Host: "0.0.0.0:0"}},
		{"localhost:4433", addr{Host: "localhost:4433"}},
		{"localhost", addr{Host: "localhost"}},
		{"127.0.0.1:65535", addr{Host: "127.0.0.1:65535"}},
		{"[::1]:1", addr{Host: "[::1]:1"}},
		{"[::]:4433", addr{Host: "[::]:4433"}},
		{"[::1]", addr{Host: "[::1]"}},
		{"[::ffff:1.2.3.4]:1", addr{Host: "[::ffff:1.2.3.4]:1"}},
		{"[fe80::1%eth0]:4433", addr{Host: "[fe80::1%eth0]:4433"}},
		{"[fe80::1%25eth0]:4433", addr{Host: "[fe80::1%25eth0]:4433"}}, // nothing is decoded
		{"quic://" + s + "@host:4433", addr{Scheme: "quic", ID: id, Host: "host:4433"}},
		{"quic://" + s + "@[fe80::1%eth0]:4433", addr{Scheme: "quic", ID: id, Host: "[fe80::1%eth0]:4433"}},
		{"quic://:4433", addr{Scheme: "quic", Host: ":4433"}},
		{"quic://host:4433/path", addr{Scheme: "quic", Host: "host:4433", Path: "/path"}},
		{"quic://host/", addr{Scheme: "quic", Host: "host", Path: "/"}},
		{s + "@host:1", addr{ID: id, Host: "host:1"}},
		{s + "@:1", addr{ID: id, Host: ":1"}},
		{"memory://" + s + "@name", addr{Scheme: "memory", ID: id, Host: "name"}},
		{"memory://name", addr{Scheme: "memory", Host: "name"}},
		{"unix:///run/app.sock", addr{Scheme: "unix", Path: "/run/app.sock"}},
		{"unix://" + s + "@/run/app.sock", addr{Scheme: "unix", ID: id, Path: "/run/app.sock"}},
		{"/run/app.sock", addr{Path: "/run/app.sock"}},
		{"unix:///a@b:c[d]?e#f%20g//h://i", addr{Scheme: "unix", Path: "/a@b:c[d]?e#f%20g//h://i"}},
		{"unix:///tmp/ünïcode/日本/🙂", addr{Scheme: "unix", Path: "/tmp/ünïcode/日本/🙂"}},
		{`unix:///a\b'c"d`, addr{Scheme: "unix", Path: `/a\b'c"d`}},
		{"unix:////", addr{Scheme: "unix", Path: "//"}},
		{"a+b-c.9://x", addr{Scheme: "a+b-c.9", Host: "x"}},
		{"host_name:1", addr{Host: "host_name:1"}},
		{"bücher.example:1", addr{Host: "bücher.example:1"}},
		{"quic://" + strings.Repeat("h", transport.MaxAddr-7), addr{Scheme: "quic", Host: strings.Repeat("h", transport.MaxAddr-7)}},
	} {
		got, err := transport.ParseAddr(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("ParseAddr(%q) = %#v, %v, want %#v", tt.in, got, err, tt.want)
		}
		if text := got.String(); text != tt.in {
			t.Errorf("ParseAddr(%q).String() = %q, want the same", tt.in, text)
		}
	}
}

func TestParseAddrRefuses(t *testing.T) {
	s := id.String()
	damaged := "a" + s[1:]
	weak := kith.ID{1}.String()
	for _, tt := range []struct{ in, want string }{
		{"", "no host"},
		{"@", "id"},
		{"@host:1", "id"},
		{s + "@", "no host"},
		{"quic://", "no host"},
		{"quic://" + s + "@", "no host"},
		{"QUIC://host:1", `scheme "QUIC"`},
		{"Quic://host:1", `scheme "Quic"`},
		{"://host:1", `scheme ""`},
		{"1quic://host:1", `scheme "1quic"`},
		{"+a://host:1", `scheme "+a"`},
		{"a_b://host:1", `scheme "a_b"`},
		{"qüic://host:1", "scheme"},
		{"/run/a://b", "scheme"},
		{"::1", "without brackets"},
		{"::", "without brackets"},
		{"fe80::1%eth0", "without brackets"},
		{"2001:db8::1:4433", "without brackets"},
		{"a:1:2", "without brackets"},
		{"[::1", "missing ]"},
		{"[", "missing ]"},
		{"[]", "no IPv6 address"},
		{"[]:1", "no IPv6 address"},
		{"[127.0.0.1]:1", "no IPv6 address"},
		{"[host]:1", "no IPv6 address"},
		{"[::1%]:1", "no IPv6 address"},
		{"[fe80::1%[]:1", "bracket"},
		{"[::1]1", "port"},
		{"[::1]:", "port"},
		{"[::1]::1", "port"},
		{"[::1]]:1", "port"},
		{"[::1]:1]", "port"},
		{"a[::1]:1", "bracket"},
		{"a]:1", "bracket"},
		{"host:", "port"},
		{":", "port"},
		{"host:65536", "port"},
		{"host:99999999999999999999", "port"},
		{"host:+80", "port"},
		{"host:-1", "port"},
		{"host:080", "port"},
		{"host:00", "port"},
		{"host:0x50", "port"},
		{"host:8_0", "port"},
		{"host:http", "port"},
		{"host:１", "port"},
		{"a@b:1", "56 characters"},
		{"a@b@c", "56 characters"},
		{s + "@a@b", "two @"},
		{s + "@" + s + "@b", "two @"},
		{strings.ToUpper(s) + "@host:1", "illegal"},
		{damaged + "@host:1", "checksum"},
		{weak + "@host:1", "low-order"},
		{kith.ID{}.String() + "@host:1", "low-order"},
		{"host :1", "space"},
		{" host:1", "space"},
		{"host:1 ", "space"},
		{"unix:///a b", "space"},
		{"host:1\n", "space or control"},
		{"ho\x00st:1", "space or control"},
		{"ho\x7fst:1", "space or control"},
		{"ho\u0085st:1", "space or control"},
		{"ho\u009bst:1", "space or control"},
		{"ho\u00a0st:1", "space or control"},
		{"ho\u2028st:1", "space or control"},
		{"ho\u3000st:1", "space or control"},
		{"unix:///a\x9bb", "UTF-8"},
		{"\xff", "UTF-8"},
		{strings.Repeat("h", transport.MaxAddr+1), "longer than 1024"},
		{strings.Repeat("h", 1<<20), "longer than 1024"},
	} {
		a, err := transport.ParseAddr(tt.in)
		if err == nil {
			t.Errorf("ParseAddr(%.80q) = %#v, want an error with %q", tt.in, a, tt.want)
			continue
		}
		if a != (transport.Addr{}) || !strings.HasPrefix(err.Error(), "parse address \"") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseAddr(%.80q) = %#v, %q, want the zero Addr and an error with %q", tt.in, a, err, tt.want)
		}
		if text := err.Error(); len(text) > 1000 || strings.ContainsAny(text, "\n\x00\x7f\u0085\u009b\u2028") {
			t.Errorf("ParseAddr(%.80q) = %.200q, want a short error of one line", tt.in, text)
		}
	}
}

func TestAddrHelpers(t *testing.T) {
	for _, tt := range []struct {
		addr, host string
		port       uint16
	}{
		{":4433", "", 4433},
		{"localhost:4433", "localhost", 4433},
		{"localhost", "localhost", 0},
		{"[::1]:1", "::1", 1},
		{"[::1]", "::1", 0},
		{"[fe80::1%eth0]:65535", "fe80::1%eth0", 65535},
		{"[fe80::1%a:b]:7", "fe80::1%a:b", 7},
		{"[fe80::1%eth0]", "fe80::1%eth0", 0},
		{"quic://" + id.String() + "@127.0.0.1:0", "127.0.0.1", 0},
		{"memory://name", "name", 0},
		{"unix:///run/a:1", "", 0},
	} {
		a, err := transport.ParseAddr(tt.addr)
		if err != nil {
			t.Errorf("ParseAddr(%q) = %v, want no error", tt.addr, err)
		}
		if host, port := a.SplitHostPort(); host != tt.host || port != tt.port {
			t.Errorf("SplitHostPort(%q) = %q, %d, want %q, %d", tt.addr, host, port, tt.host, tt.port)
		}
	}
	if host, port := (transport.Addr{Host: "host:99999"}).SplitHostPort(); host != "host" || port != 0 {
		t.Errorf("SplitHostPort(host:99999) = %q, %d, want host, 0", host, port)
	}

	a, _ := transport.ParseAddr("quic://host:1")
	with := a.WithID(id)
	if with.ID != id || with.Host != a.Host || with.Scheme != a.Scheme || !a.ID.IsZero() {
		t.Errorf("WithID = %v, left %v, want only a copy changed", with, a)
	}
	if m := map[transport.Addr]int{a: 1, with: 2}; m[a] != 1 || m[with.WithID(kith.ID{})] != 1 {
		t.Errorf("addresses as map keys = %v, want equal ones found", m)
	}
	if got := (transport.Addr{}).String(); got != "" {
		t.Errorf("String() of the zero Addr = %q, want nothing", got)
	}
}

func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{
		":4433", "localhost:4433", "[::1]:1", "[fe80::1%eth0]:4433", "[fe80::1%[]:1", "quic://" + id.String() + "@host:4433",
		"unix://" + id.String() + "@/a@b://c", "memory://name", "a@b@c", "::1", "host:080", "\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := transport.ParseAddr(s)
		if err != nil {
			if a != (transport.Addr{}) {
				t.Errorf("ParseAddr(%q) = %#v, %v, want the zero Addr with an error", s, a, err)
			}
			return
		}
		if a.String() != s {
			t.Errorf("ParseAddr(%q).String() = %q, want the same", s, a.String())
		}
		if a.Host == "" && a.Path == "" || a.Path != "" && a.Path[0] != '/' || strings.ContainsAny(a.Host, "/@") {
			t.Errorf("ParseAddr(%q) = %#v, want a host or a path", s, a)
		}
		host, port := a.SplitHostPort()
		if strings.ContainsAny(host, "[]") {
			t.Errorf("SplitHostPort(%q) = %q, %d, want no brackets", s, host, port)
		}
	})
}
