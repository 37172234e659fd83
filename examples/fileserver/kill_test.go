package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const kills = 10

// TestKill moves a file while server and client are killed, by kill -9, ten
// times at random moments in all. Each time both go on: the server is started
// again, the client's command run again. The file arrives whole, and is never
// seen under its name before it is. KITH_LONG=1 makes it a GiB.
func TestKill(t *testing.T) {
	size := 32 << 20
	if os.Getenv("KITH_LONG") != "" {
		size = 1 << 30
	}
	source := filepath.Join(t.TempDir(), "source")
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	if err := os.WriteFile(source, data, 0o644); err != nil {
		t.Fatal(err)
	}
	k := &killing{source: source, size: int64(size), sum: sha256.Sum256(data)}
	for _, scheme := range []string{"quic", "tcp"} {
		for _, verb := range []string{"put", "get"} {
			t.Run(scheme+"/"+verb, func(t *testing.T) {
				t.Parallel()
				k.run(t, scheme, verb)
			})
		}
	}
}

// A killing is what is moved in TestKill.
type killing struct {
	source string
	size   int64
	sum    [sha256.Size]byte
}

func (k *killing) run(t *testing.T, scheme, verb string) {
	dir, own := t.TempDir(), t.TempDir()
	key := filepath.Join(own, "client.key")
	d := &daemon{t: t, binary: self(t), listen: scheme + "://127.0.0.1:0", args: []string{
		"serve", "-quiet", "-dir", dir, "-key", filepath.Join(own, "server.key"), "-allow", clientID(t, key),
	}}
	d.start()
	defer func() { d.kill() }()

	from, to := k.source, filepath.Join(dir, "file")
	args := []string{verb, from, "file"}
	if verb == "get" {
		from, to = filepath.Join(dir, "file"), filepath.Join(own, "file")
		copyFile(t, k.source, from)
		args = []string{verb, "file", to}
	}
	// The limit spreads the kills over a second and a half, and whatever time the
	// losses cost.
	args = slices.Insert(args, 1, "-addr", d.addr, "-key", key, "-progress", "lines",
		"-silence", "2s", "-retry", "2m", "-limit", fmt.Sprint(k.size*2/3))
	ctx, stop := context.WithCancel(t.Context())
	w := &witness{path: to, size: k.size, sum: k.sum}
	w.done.Go(func() { w.watchLoop(ctx) })

	plan := k.plan()
	for {
		client := start(t, d.binary, args...)
		killed := false
		last := ""
		for line := range client.lines {
			last = line
			var at, size int64
			if n, _ := fmt.Sscanf(line, "moving %d %d", &at, &size); n < 2 || len(plan) == 0 || at < plan[0].at || killed {
				continue
			}
			if plan[0].server {
				d.kill()
				d.start()
			} else {
				killed = true
				_ = client.cmd.Process.Kill()
			}
			plan = plan[1:]
		}
		code, _ := client.wait()
		if code == 0 {
			break
		}
		if !killed {
			t.Fatalf("%s = %d, %s", verb, code, last)
		}
	}
	stop()
	w.done.Wait()
	w.report(t)
	if len(plan) > 0 {
		t.Errorf("%d kills are left, want 0", len(plan))
	}
	k.check(t, to)
	for _, pattern := range []string{filepath.Join(dir, ".partial", "*"), filepath.Join(own, "*.partial")} {
		paths, err := filepath.Glob(pattern)
		paths = slices.DeleteFunc(paths, func(p string) bool { return filepath.Base(p) == "lock" })
		if len(paths) > 0 || err != nil {
			t.Errorf("left over are %v, %v, want nothing", paths, err)
		}
	}
}

// A kill is who is killed, and when.
type kill struct {
	at     int64
	server bool
}

// plan returns kills in the order of their offsets. Three are of the server:
// over QUIC each costs the client's silence bound.
func (k *killing) plan() []kill {
	plan := make([]kill, kills)
	for i := range plan {
		plan[i] = kill{at: 1 + rand.Int64N(k.size-k.size/8), server: i < 3}
	}
	slices.SortFunc(plan, func(a, b kill) int { return int(a.at - b.at) })
	return plan
}

// check fails unless the file has arrived.
func (k *killing) check(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || sha256.Sum256(data) != k.sum {
		t.Errorf("%s has %d bytes and another SHA-256, %v, want what was sent", path, len(data), err)
	}
}

// A witness looks all the time at what is to be seen under a name.
type witness struct {
	path string
	size int64
	sum  [sha256.Size]byte
	done sync.WaitGroup

	// Set by watchLoop before done.
	looks, seen int
	wrong       []string
}

// watchLoop looks until ctx ends.
func (w *witness) watchLoop(ctx context.Context) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	var checked fs.FileInfo
	for ctx.Err() == nil {
		entries, err := os.ReadDir(filepath.Dir(w.path))
		w.looks++
		if err != nil {
			w.wrong = append(w.wrong, err.Error())
			return
		}
		if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == filepath.Base(w.path) }) {
			checked = w.look(checked)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// look checks what is there, its digest too if it is another file than the one
// that was checked before.
func (w *witness) look(checked fs.FileInfo) fs.FileInfo {
	w.seen++
	info, err := os.Stat(w.path)
	if err != nil || info.Size() != w.size {
		w.wrong = append(w.wrong, fmt.Sprintf("%v, %v", info, err))
		return checked
	}
	if checked != nil && os.SameFile(checked, info) {
		return checked
	}
	data, err := os.ReadFile(w.path)
	if sum := sha256.Sum256(data); err != nil || !bytes.Equal(sum[:], w.sum[:]) {
		w.wrong = append(w.wrong, fmt.Sprintf("%d bytes of another SHA-256, %v", len(data), err))
	}
	return info
}

func (w *witness) report(t *testing.T) {
	t.Helper()
	if len(w.wrong) > 0 {
		t.Errorf("under its name was seen: %s", strings.Join(w.wrong[:min(len(w.wrong), 5)], "; "))
	}
	if w.looks < 100 {
		t.Errorf("there were %d looks, want many", w.looks)
	}
	t.Logf("%d looks, the file was there in %d", w.looks, w.seen)
}
