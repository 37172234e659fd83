package static_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/discovery"
	"github.com/kith-go/kith/discovery/static"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var home = discovery.Public("home").Network()

// keyOf returns the n-th of some fixed keys.
func keyOf(n byte) *kith.Key {
	key, err := kith.KeyFromSigner(ed25519.NewKeyFromSeed([]byte{31: n}))
	if err != nil {
		panic(err)
	}
	return key
}

// addr is an address of the n-th node.
func addr(n byte, host string) string { return "quic://" + keyOf(n).ID().String() + "@" + host }

func newDiscovery(t *testing.T, cfg static.Config) *static.Discovery {
	t.Helper()
	d, err := static.New(cfg)
	if err != nil {
		t.Fatalf("New(%+v) = %v, want nil", cfg, err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func browse(t *testing.T, d *static.Discovery) discovery.Browser {
	t.Helper()
	b, err := d.Browse(t.Context(), home)
	if err != nil {
		t.Fatalf("Browse() = %v, want nil", err)
	}
	return b
}

// expect reads events, each like "Found 1 quic://a:1 tcp://a:2".
func expect(t *testing.T, b discovery.Browser, want ...string) {
	t.Helper()
	for _, w := range want {
		ev, err := b.Next(t.Context())
		r := ev.Record
		n := -1
		for i := range byte(9) {
			if keyOf(i).ID() == r.ID {
				n = int(i)
			}
		}
		got := fmt.Sprint(ev.Kind, " ", n, " ", strings.Join(r.Addrs, " "))
		if err != nil || got != w {
			t.Fatalf("Next() = %s, %v, want %s", got, err, w)
		}
		if r.Network != home || r.Sequence != 0 || !r.Expires.IsZero() || r.Services != nil {
			t.Errorf("Next() = %+v, want an unsigned record of the network asked for", r)
		}
	}
}

// expectNothing checks that nothing comes for a while, in a bubble.
func expectNothing(t *testing.T, b discovery.Browser) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if ev, err := b.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Next() = %+v, %v, want nothing", ev, err)
	}
}

func TestAddrs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiscovery(t, static.Config{Addrs: []string{
			addr(2, "b:1"), addr(1, "a:1"), strings.Replace(addr(2, "b:1"), "quic", "tcp", 1), addr(2, "b:1"),
		}})
		for range 2 {
			b := browse(t, d)
			expect(t, b, "Found 2 quic://b:1 tcp://b:1", "Found 1 quic://a:1")
			b.Suspect(keyOf(1).ID())
			expectNothing(t, b)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	id := keyOf(1).ID().String()
	many := make([]string, 17)
	for i := range many {
		many[i] = addr(1, fmt.Sprint("a:", i+1))
	}
	tests := map[string][]string{
		"no ID":                {addr(1, "a:1"), "quic://a:1"},
		"no scheme":            {id + "@a:1"},
		"nothing":              {""},
		"no host":              {"quic://" + id + "@"},
		"bad ID":               {"quic://" + id[1:] + "x@a:1"},
		"two IDs":              {"quic://" + id + "@" + id + "@a"},
		"a space":              {"quic://" + id + "@a b"},
		"too long":             {addr(1, strings.Repeat("x", 200))},
		"much too long":        {addr(1, strings.Repeat("x", 2000))},
		"upper-case scheme":    {"QUIC://" + id + "@a:1"},
		"17 addresses of one":  many,
		"an ID of a low order": {"quic://" + kith.ID{1}.String() + "@a:1"},
	}
	for name, addrs := range tests {
		if _, err := static.New(static.Config{Addrs: addrs}); err == nil {
			t.Errorf("New(%s) = nil, want an error", name)
		}
	}
	_, err := static.New(static.Config{Addrs: tests["no ID"]})
	if err == nil || !strings.Contains(err.Error(), "address 2: no ID") {
		t.Errorf("New(no ID) = %v, want it to name address 2 and what is missing", err)
	}
}

// A listFile is a file in a folder of the test, and the log of who watches it.
type listFile struct {
	t    *testing.T
	path string
	log  lockedBuffer
}

// A lockedBuffer holds what was logged.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *lockedBuffer) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Reset()
}

func newFile(t *testing.T) *listFile {
	return &listFile{t: t, path: filepath.Join(t.TempDir(), "nodes")}
}

func (f *listFile) config() static.Config {
	return static.Config{File: f.path, Logger: slog.New(slog.NewTextHandler(&f.log, nil))}
}

// write replaces the file in place.
func (f *listFile) write(lines ...string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// replace puts another file in its place.
func (f *listFile) replace(lines ...string) {
	f.t.Helper()
	other := &listFile{t: f.t, path: f.path + ".new"}
	other.write(lines...)
	if err := os.Rename(other.path, f.path); err != nil {
		f.t.Fatal(err)
	}
}

// lines returns how many lines were logged with text in them.
func (f *listFile) lines(text string) int {
	n := 0
	for line := range strings.Lines(f.log.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func TestFile(t *testing.T) {
	f := newFile(t)
	synctest.Test(t, func(t *testing.T) {
		f.write("\ufeff# who is there", "", "  "+addr(1, "a:1")+"\t# the first\r", addr(2, "b#1"), "#"+addr(3, "c:1"))
		cfg := f.config()
		cfg.Addrs = []string{addr(4, "d:1")}
		d := newDiscovery(t, cfg)
		b := browse(t, d)
		expect(t, b, "Found 4 quic://d:1", "Found 1 quic://a:1", "Found 2 quic://b#1")

		f.write(addr(3, "c:1"), addr(1, "a:2"), addr(4, "d:2"))
		expect(t, b, "Lost 2 quic://b#1", "Changed 4 quic://d:1 quic://d:2", "Found 3 quic://c:1", "Changed 1 quic://a:2")
		f.replace(addr(3, "c:1"))
		expect(t, b, "Lost 1 quic://a:2", "Changed 4 quic://d:1")
		expectNothing(t, b)
		f.write()
		expect(t, b, "Lost 3 quic://c:1")
		expect(t, browse(t, d), "Found 4 quic://d:1")
		if f.log.String() != "" {
			t.Errorf("logged %q, want nothing", f.log.String())
		}
	})
}

// A change is seen within two intervals, and costs nothing while there is none.
func TestInterval(t *testing.T) {
	f := newFile(t)
	synctest.Test(t, func(t *testing.T) {
		f.write(addr(1, "a:1"))
		cfg := f.config()
		cfg.Interval = time.Minute
		b := browse(t, newDiscovery(t, cfg))
		expect(t, b, "Found 1 quic://a:1")
		f.write(addr(1, "a:2"))
		start := time.Now()
		expect(t, b, "Changed 1 quic://a:2")
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("the change was seen after %v, want 2m at most", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		cfg := f.config()
		cfg.Interval = -1
		b := browse(t, newDiscovery(t, cfg))
		expect(t, b, "Found 1 quic://a:2")
		f.write()
		expectNothing(t, b)
	})
}

// A file that is wrong changes nothing, and is told of once.
func TestFileThatIsWrong(t *testing.T) {
	f := newFile(t)
	synctest.Test(t, func(t *testing.T) {
		b := browse(t, newDiscovery(t, f.config())) // there is none yet
		expectNothing(t, b)
		f.write(addr(1, "a:1"))
		expect(t, b, "Found 1 quic://a:1")
		if n := f.lines("level=WARN"); n != 1 {
			t.Errorf("%d warnings of a missing file, want 1: %s", n, f.log.String())
		}
		tests := map[string][]string{
			"line 2: no ID":              {addr(2, "b:1"), "quic://a:1", addr(3, "c:1")},
			"and more":                   {"1", "2", "3", "4", "5", "6", "7"},
			"line 4097: more than 4096":  slices.Repeat([]string{addr(1, "a:1")}, 4097),
			"larger than 1048576 bytes":  {strings.Repeat("#", 1<<20+1)},
			"more than 16 addresses of ": manyAddrs(17),
		}
		for text, lines := range tests {
			f.log.reset()
			f.write(lines...)
			expectNothing(t, b)
			if f.lines("level=WARN") != 1 || f.lines(text) != 1 {
				t.Errorf("the log has %q, want one warning with %q", f.log.String(), text)
			}
			f.write(addr(1, "a:1"))
			expectNothing(t, b)
			if n := f.lines("level=INFO"); n != 1 {
				t.Errorf("after %q it was told %d times that the file can be read again, want once", text, n)
			}
		}
		f.log.reset()
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
		expectNothing(t, b)
		if err := os.Mkdir(f.path, 0o700); err != nil {
			t.Fatal(err)
		}
		expectNothing(t, b)
		if n := f.lines("level=WARN"); n != 2 {
			t.Errorf("%d warnings of a missing file and a folder, want 2: %s", n, f.log.String())
		}
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
		f.write(addr(2, "b:1"))
		expect(t, b, "Lost 1 quic://a:1", "Found 2 quic://b:1")
	})
}

func manyAddrs(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = addr(1, fmt.Sprint("a:", i+1))
	}
	return all
}

// A slow reader gets what the list is, not what it was.
func TestSlowReader(t *testing.T) {
	f := newFile(t)
	synctest.Test(t, func(t *testing.T) {
		f.write(addr(1, "a:1"), addr(2, "b:1"), addr(3, "c:1"))
		d := newDiscovery(t, f.config())
		slow := browse(t, d)
		expect(t, slow, "Found 1 quic://a:1", "Found 2 quic://b:1")
		f.write(addr(4, "d:1"))
		time.Sleep(time.Minute)
		f.write(addr(2, "b:2"), addr(5, "e:1"))
		time.Sleep(time.Minute)
		f.write(addr(1, "a:1"), addr(2, "b:3"))
		time.Sleep(time.Minute)
		expect(t, slow, "Changed 2 quic://b:3")
		expectNothing(t, slow)
	})
}

func TestAdvertiseKeepsTheRules(t *testing.T) {
	d := newDiscovery(t, static.Config{})
	sign := func(key byte, change func(*discovery.Record)) discovery.Signed {
		r := discovery.Record{Network: home, Sequence: 5, Expires: time.Now().Add(time.Hour), Addrs: []string{"quic://a:1"}}
		if change != nil {
			change(&r)
		}
		s, err := discovery.Sign(keyOf(key), r)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	later := func(r *discovery.Record) { r.Sequence++ }
	if _, err := d.Advertise(t.Context(), discovery.Signed{}); err == nil {
		t.Errorf("Advertise(nothing) = nil, want an error")
	}
	a, err := d.Advertise(t.Context(), sign(1, nil))
	if err != nil {
		t.Fatalf("Advertise() = %v, want nil", err)
	}
	for name, s := range map[string]discovery.Signed{
		"nothing":           {},
		"another ID":        sign(2, later),
		"another network":   sign(1, func(r *discovery.Record) { later(r); r.Network[0]++ }),
		"the same sequence": sign(1, nil),
	} {
		if err := a.Update(s); err == nil {
			t.Errorf("Update(%s) = nil, want an error", name)
		}
	}
	if err := a.Update(sign(1, later)); err != nil {
		t.Errorf("Update() = %v, want nil", err)
	}
	if err := errors.Join(a.Close(discovery.Signed{}), a.Close(discovery.Signed{})); err != nil {
		t.Errorf("Close() = %v, want nil", err)
	}
	if err := a.Update(sign(1, func(r *discovery.Record) { r.Sequence = 9 })); !errors.Is(err, discovery.ErrClosed) {
		t.Errorf("Update() after Close = %v, want ErrClosed", err)
	}
}

func TestClose(t *testing.T) {
	f := newFile(t)
	f.write(addr(1, "a:1"))
	synctest.Test(t, func(t *testing.T) {
		d := newDiscovery(t, f.config())
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Browse(ended, home); !errors.Is(err, context.Canceled) {
			t.Errorf("Browse(ctx that has ended) = %v, want context.Canceled", err)
		}
		if _, err := d.Advertise(ended, discovery.Signed{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Advertise(ctx that has ended) = %v, want context.Canceled", err)
		}
		b := browse(t, d)
		if _, err := b.Next(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Next(ctx that has ended) = %v, want context.Canceled", err)
		}
		expect(t, b, "Found 1 quic://a:1") // was not lost
		other := browse(t, d)
		expect(t, other, "Found 1 quic://a:1")
		for _, tt := range []struct {
			name string
			b    discovery.Browser
			end  func() error
		}{{"Browser.Close", b, b.Close}, {"Discovery.Close", other, d.Close}} {
			failed := make(chan error, 1)
			go func() { _, err := tt.b.Next(t.Context()); failed <- err }()
			synctest.Wait()
			if err := errors.Join(tt.end(), tt.end()); err != nil {
				t.Errorf("%s() twice = %v, want nil", tt.name, err)
			}
			if err := <-failed; !errors.Is(err, discovery.ErrClosed) {
				t.Errorf("Next() ended by %s = %v, want ErrClosed", tt.name, err)
			}
		}
		if _, err := d.Browse(t.Context(), home); !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("Browse() after Close = %v, want ErrClosed", err)
		}
		if _, err := d.Advertise(t.Context(), discovery.Signed{}); !errors.Is(err, discovery.ErrClosed) {
			t.Errorf("Advertise() after Close = %v, want ErrClosed", err)
		}
	})
}

// A file is read again only if it looks like another.
func TestStat(t *testing.T) {
	f := newFile(t)
	synctest.Test(t, func(t *testing.T) {
		set := func(host string, at time.Time) {
			f.write(addr(1, host))
			if err := os.Chtimes(f.path, at, at); err != nil {
				t.Fatal(err)
			}
		}
		old := time.Now().Add(-time.Hour)
		set("a:1", old)
		b := browse(t, newDiscovery(t, f.config()))
		expect(t, b, "Found 1 quic://a:1")
		set("a:2", old)
		expectNothing(t, b)
		set("a:3", old.Add(time.Second))
		expect(t, b, "Changed 1 quic://a:3")
		// Just written, it may change once more within the same tick of the file system's clock.
		now := time.Now()
		set("a:4", now)
		b = browse(t, newDiscovery(t, f.config()))
		expect(t, b, "Found 1 quic://a:4")
		set("a:5", now)
		expect(t, b, "Changed 1 quic://a:5")
	})
}
