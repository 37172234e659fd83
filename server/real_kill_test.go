package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// book writes its argument into the server's log, and answers, or does not
// where the argument begins with "stay". It must not run twice.
var book = kith.Unary[string, string]("test/Book")

// bookkeeper is a process with a server of book. Its arguments: transport,
// address, key file, log file.
var bookkeeper = role("bookkeeper", func(orders *bufio.Scanner, args []string) error {
	key, err := kith.LoadKey(args[2])
	if err != nil {
		return err
	}
	log, err := os.OpenFile(args[3], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var h kith.Handlers
	book.Handle(&h, func(ctx context.Context, what string) (string, error) {
		// One write: killed or not, it is in the file or not.
		if _, err := log.WriteString(what + "\n"); err != nil {
			return "", err
		}
		if strings.HasPrefix(what, "stay") {
			<-ctx.Done()
		}
		return what, nil
	})
	srv, err := server.New(server.Config{Handlers: &h, Admit: admit.Anyone()})
	if err != nil {
		return err
	}
	tr := overWire(args[0], key)
	a, err := transport.ParseAddr(args[1])
	if err != nil {
		return err
	}
	l, err := tr.Listen(context.Background(), a)
	if err != nil {
		return err
	}
	say("listening %s", l.Addr())
	go func() { _ = srv.Serve(context.Background(), l) }()
	orders.Scan()
	return nil
})

// overWire makes a transport over the real network.
func overWire(name string, key *kith.Key) transport.Transport {
	if name == "quic" {
		return quic.New(quic.Config{Key: key})
	}
	return tcp.New(tcp.Config{Key: key})
}

// A server process is killed again and again in the middle of its calls. Each
// call comes back once: with its answer, then the server's own log has it once;
// as Unprocessed, then it does not have it; or as lost, then it has it at
// most once. Nothing is sent again that may have run.
func TestRealKill(t *testing.T) {
	const calls = 200
	kills := map[string]int{"tcp": 12, "quic": 2}
	if os.Getenv("KITH_LONG") != "" {
		kills = map[string]int{"tcp": 100, "quic": 10}
	} else if testing.Short() {
		t.Skip("starts processes")
	}
	for _, name := range []string{"tcp", "quic"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKiller(t, name)
			rng := rand.New(rand.NewPCG(5, 6))
			for round := range kills[name] {
				k.round(round, calls, 1+rng.IntN(calls/2))
			}
			k.check()
		})
	}
}

// A killer is a client of a bookkeeper, and what became of its calls.
type killer struct {
	t              *testing.T
	transport, dir string
	addr           string
	srv            *child
	client         *client.Client
	slowest        time.Duration

	mu       sync.Mutex
	outcomes map[string]error // by what was booked; guarded by mu
}

func newKiller(t *testing.T, name string) *killer {
	k := &killer{t: t, transport: name, dir: t.TempDir(), outcomes: make(map[string]error)}
	k.start(name + "://127.0.0.1:0")
	tr := overWire(name, kith.NewKey())
	t.Cleanup(func() { _ = tr.Close() })
	// No connection lasts here, which would make the pauses long.
	cfg := client.Config{Transport: tr, Addrs: []string{k.addr}, BackoffMax: 50 * time.Millisecond}
	if name == "quic" {
		// Nobody says for a process that it is gone: only silence does.
		cfg.Ping, cfg.Silence = time.Second, 3*time.Second
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	k.client = c
	return k
}

func (k *killer) start(addr string) {
	k.srv = startChild(k.t, bookkeeper, k.transport, addr, filepath.Join(k.dir, "key"), filepath.Join(k.dir, "log"))
	k.addr = k.srv.expect("listening")
}

// round makes calls, of which every other one stays in its handler, kills the
// server when so many have been answered, and starts another one.
func (k *killer) round(round, calls, answered int) {
	t := k.t
	k.book(fmt.Sprintf("go/%d/first", round), kith.WaitForReady())
	var all sync.WaitGroup
	var done atomic.Int64
	enough := make(chan struct{})
	for i := range calls {
		all.Go(func() {
			what := fmt.Sprintf("%s/%d/%d", []string{"go", "stay"}[i%2], round, i)
			if err := k.book(what); err == nil && int(done.Add(1)) == answered {
				close(enough)
			}
		})
	}
	select {
	case <-enough:
	case <-time.After(patience):
		t.Fatalf("round %d: %d answers in %v, want %d", round, done.Load(), patience, answered)
	}
	k.srv.kill()
	start := time.Now()
	returned := make(chan struct{})
	go func() {
		all.Wait()
		close(returned)
	}()
	select {
	case <-returned:
	case <-time.After(patience):
		t.Fatalf("round %d: calls of a server that was killed have not returned after %v", round, patience)
	}
	k.slowest = max(k.slowest, time.Since(start))
	k.start(k.addr)
}

// book makes a call, and keeps its outcome.
func (k *killer) book(what string, opts ...kith.CallOption) error {
	got, err := book.Call(k.t.Context(), k.client, what, opts...)
	if err == nil && got != what {
		k.t.Errorf("book.Call(%q) = %q", what, got)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.outcomes[what] = err
	return err
}

// check compares the outcomes with what the servers have written.
func (k *killer) check() {
	t := k.t
	text, err := os.ReadFile(filepath.Join(k.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	ran := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		ran[strings.TrimSpace(line)]++
	}
	var ok, unprocessed, unknown, unknownRan int
	for what, err := range k.outcomes {
		var ended *transport.ConnError
		n := ran[what]
		switch {
		case err == nil:
			ok++
			if n != 1 {
				t.Errorf("%s was answered, and ran %d times", what, n)
			}
		case kith.Unprocessed(err):
			unprocessed++
			if n != 0 {
				t.Errorf("%s = %v, as if it had not run, and it ran %d times", what, err, n)
			}
		default:
			unknown++
			unknownRan += n
			if n > 1 {
				t.Errorf("%s ran %d times", what, n)
			}
			if kith.Remote(err) || kith.CodeOf(err) != kith.Unavailable || !errors.As(err, &ended) {
				t.Errorf("%s = %v, want Unavailable, not remote, and the end of the connection", what, err)
			}
		}
	}
	t.Logf("%d calls: %d answered, %d lost (of which %d had run), %d not processed; the last came back %v after the kill",
		len(k.outcomes), ok, unknown, unknownRan, unprocessed, k.slowest.Round(time.Millisecond))
	if ok == 0 || unknown == 0 {
		t.Errorf("%d calls answered and %d lost, want some of both", ok, unknown)
	}
}
