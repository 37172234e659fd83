package peer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/peer"
	"github.com/kith-go/kith/peer/peertest"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/memory"
)

// A scenario is a kind of trouble.
type scenario struct {
	name     string
	schemes  []string
	oneSided bool // of some pairs, only one side can dial
	faults   bool // crashes, moves, partitions, sleep
	leaves   bool // nodes leave, and come back
}

var scenarios = []scenario{
	{name: "Calm"},
	{name: "Racing", schemes: []string{"quic", "tcp"}},
	{name: "OneSided", schemes: []string{"quic", "tcp"}, oneSided: true},
	{name: "Leaving", schemes: []string{"quic", "tcp"}, leaves: true},
	{name: "Faults", faults: true},
	{name: "RacingFaults", schemes: []string{"quic", "tcp"}, faults: true},
	{name: "OneSidedFaults", schemes: []string{"quic", "tcp"}, oneSided: true, faults: true},
}

// How many seeds each scenario gets. With KITH_LONG=1, thousands.
func seedsOf() uint64 {
	switch {
	case os.Getenv("KITH_LONG") != "":
		return 2000
	case testing.Short(), peer.Race:
		return 20
	}
	return 60
}

// Whatever happens while nodes meet, and afterwards: one connection survives per pair, no call is lost
// by the choice or made twice, and when the trouble is over all is well by itself.
func TestSimulation(t *testing.T) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			begin, seeds := time.Now(), seedsOf()
			var sum tally
			for seed := range seeds {
				s := simulate(t, sc, seed)
				for _, f := range s.findings {
					t.Errorf("%s seed %d: %s", sc.name, seed, f)
				}
				sum.add(&s.tally)
				if t.Failed() {
					return
				}
			}
			t.Logf("%d seeds, %.0f/s: %s", seeds, float64(seeds)/time.Since(begin).Seconds(), &sum)
			if sum.drained == 0 {
				t.Error("no pair ever had two connections: this shows nothing")
			}
		})
	}
}

// A tally says how much a simulation has tried.
type tally struct {
	calls, ok, unprocessed, unknown int
	drained, dead, lost             uint64
}

func (y *tally) add(o *tally) {
	y.calls, y.ok, y.unprocessed, y.unknown = y.calls+o.calls, y.ok+o.ok, y.unprocessed+o.unprocessed, y.unknown+o.unknown
	y.drained, y.dead, y.lost = y.drained+o.drained, y.dead+o.dead, y.lost+o.lost
}

func (y *tally) String() string {
	return fmt.Sprintf("%d calls, %d ok, %d unprocessed, %d unknown; connections: %d drained, %d dead, %d lost",
		y.calls, y.ok, y.unprocessed, y.unknown, y.drained, y.dead, y.lost)
}

// A sim is one run.
type sim struct {
	sc    scenario
	t     *testing.T
	rng   *rand.Rand // of the goroutine that makes the trouble
	seed  uint64
	lan   *peertest.LAN
	nodes []atomic.Pointer[peertest.Node]
	stop  atomic.Bool // callers end
	over  atomic.Bool // the nodes are about to be closed
	tally

	mu       sync.Mutex
	ran      map[string]int // how often each call's handler ran; guarded by mu
	outcome  map[string]error
	findings []string // guarded by mu
}

var (
	simUnary  = kith.Unary[[]byte, []byte]("sim/Unary")
	simStream = kith.ServerStream[[]byte, []byte]("sim/Stream")
)

// simulate runs a seed in a bubble of its own.
func simulate(t *testing.T, sc scenario, seed uint64) *sim {
	var s *sim
	synctest.Test(t, func(t *testing.T) {
		s = &sim{
			sc: sc, t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)),
			ran: make(map[string]int), outcome: make(map[string]error),
		}
		s.run()
	})
	return s
}

func (s *sim) found(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.findings) < 8 {
		s.findings = append(s.findings, fmt.Sprintf(format, args...))
	}
}

// ms draws up to n milliseconds.
func ms(rng *rand.Rand, n int) time.Duration {
	return time.Duration(rng.IntN(n*1000)+1) * time.Microsecond
}

func (s *sim) run() {
	n := 2 + s.rng.IntN(4)
	s.lan = peertest.New(s.t, peertest.Config{
		Seed: s.seed, Link: s.link(), Duplicate: 0.1, Schemes: s.sc.schemes,
	})
	s.nodes = make([]atomic.Pointer[peertest.Node], n)
	for _, i := range s.rng.Perm(n) {
		s.join(i)
		time.Sleep(ms(s.rng, 50))
	}
	var callers sync.WaitGroup
	for from := range n {
		for to := range n {
			if from != to {
				callers.Go(func() { s.callLoop(from, to) })
			}
		}
	}
	switch {
	case s.sc.faults:
		s.trouble()
	case s.sc.leaves:
		s.leaves()
	default:
		time.Sleep(5 * time.Second)
	}
	s.stop.Store(true)
	callers.Wait()
	time.Sleep(time.Minute) // the longest pause between attempts, and silence
	s.check()
	s.over.Store(true)
}

// link draws a link.
func (s *sim) link() memory.Link {
	l := memory.Link{Latency: ms(s.rng, 100), Jitter: ms(s.rng, 200)}
	if s.rng.IntN(2) == 0 {
		l.Loss = s.rng.Float64() * 0.2
	}
	return l
}

// join makes a node, with links of its own to those who are there.
func (s *sim) join(i int) {
	var h kith.Handlers
	simUnary.Handle(&h, func(_ context.Context, key []byte) ([]byte, error) {
		s.execute(string(key))
		return key, nil
	})
	simStream.Handle(&h, func(_ context.Context, key []byte) iter.Seq2[[]byte, error] {
		s.execute(string(key))
		return func(yield func([]byte, error) bool) {
			for range 3 {
				time.Sleep(100 * time.Millisecond)
				if !yield(key, nil) {
					return
				}
			}
		}
	})
	name := string(rune('a' + i))
	cfg := peer.Config{Handlers: &h, Admit: admit.Anyone()}
	if !s.sc.faults && !s.sc.leaves {
		cfg.Logger = slog.New(losses{slog.DiscardHandler, s, name})
	}
	node := s.lan.Join(name, cfg)
	for j := range s.nodes {
		if o := s.nodes[j].Load(); o != nil {
			for _, scheme := range s.sc.schemes {
				s.lan.SetLink(node, o, s.link(), scheme)
			}
			if s.sc.oneSided && s.rng.IntN(2) == 0 {
				if s.rng.IntN(2) == 0 {
					s.lan.Block(node, o)
				} else {
					s.lan.Block(o, node)
				}
			}
		}
	}
	s.nodes[i].Store(node)
}

// losses finds connections that are lost, where nothing happens to them.
type losses struct {
	slog.Handler
	s  *sim
	on string
}

func (l losses) Enabled(context.Context, slog.Level) bool { return true }

func (l losses) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "connection lost" && !l.s.over.Load() {
		text := ""
		r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
		l.s.found("%s: connection lost:%s", l.on, text)
	}
	return nil
}

// execute notes that a call's handler runs, which may take a while.
func (s *sim) execute(key string) {
	key, _, _ = strings.Cut(key, " ")
	s.mu.Lock()
	s.ran[key]++
	n := len(s.ran)
	s.mu.Unlock()
	if n%7 == 0 {
		time.Sleep(time.Duration(n%5) * 100 * time.Millisecond)
	}
}

// callLoop makes calls from one node to another, each with a key of its own, until the sim
// stops.
func (s *sim) callLoop(from, to int) {
	rng := rand.New(rand.NewPCG(s.seed, uint64(2+from*8+to)))
	id := s.lan.Key(string(rune('a' + to))).ID()
	for i := 0; !s.stop.Load(); i++ {
		key := fmt.Sprintf("%c%c%d", 'a'+from, 'a'+to, i)
		limit := time.Minute
		if s.sc.faults {
			limit = ms(rng, 4000)
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), limit)
		err := s.call(ctx, s.nodes[from].Load().Peer(id), key, rng.IntN(16))
		cancel()
		s.mu.Lock()
		s.outcome[key] = err
		s.mu.Unlock()
		time.Sleep(ms(rng, 200))
	}
}

// call makes a call of one of several kinds.
func (s *sim) call(ctx context.Context, to *peer.Peer, key string, kind int) error {
	switch kind {
	case 0: // a stream
		n := 0
		for msg, err := range simStream.Call(ctx, to, []byte(key), kith.WaitForReady()) {
			if err != nil {
				return err
			}
			if n++; string(msg) != key {
				s.found("stream %s got %q", key, msg)
			}
		}
		if n != 3 {
			s.found("stream %s ended after %d messages", key, n)
		}
		return nil
	case 1: // more than the lane takes
		key += " " + strings.Repeat("x", 20<<10)
	}
	got, err := simUnary.Call(ctx, to, []byte(key), kith.WaitForReady())
	if err == nil && string(got) != key {
		s.found("call %.20q got %.20q", key, got)
	}
	return err
}

// leaves has nodes leave, as soon as they meet others, and come back.
func (s *sim) leaves() {
	for range 3 {
		time.Sleep(ms(s.rng, 1000))
		i := s.rng.IntN(len(s.nodes))
		n := s.nodes[i].Load()
		if err := n.Leave(s.t.Context()); err != nil {
			s.found("%s: Leave = %v", n.Name(), err)
		}
		s.nodes[i].Store(s.lan.Restart(n))
	}
}

// trouble makes faults, and ends them.
func (s *sim) trouble() {
	time.Sleep(ms(s.rng, 1000))
	for range 1 + s.rng.IntN(5) {
		s.fault(s.rng.IntN(len(s.nodes)))
		time.Sleep(ms(s.rng, 2000))
	}
	s.lan.Heal()
	for i := range s.nodes {
		s.lan.Wake(s.nodes[i].Load())
	}
}

func (s *sim) fault(i int) {
	n := s.nodes[i].Load()
	pause := ms(s.rng, []int{100, 3000, 20_000}[s.rng.IntN(3)])
	switch s.rng.IntN(8) {
	case 0:
		s.lan.Crash(n)
		time.Sleep(pause)
		s.nodes[i].Store(s.lan.Restart(n))
	case 1:
		s.lan.Kill(n)
		time.Sleep(pause)
		s.nodes[i].Store(s.lan.Restart(n))
	case 2:
		s.nodes[i].Store(s.lan.Restart(n))
	case 3:
		s.lan.Move(n)
	case 4:
		s.lan.Partition(n)
		time.Sleep(pause)
		if s.rng.IntN(2) == 0 {
			s.lan.Heal()
		}
	case 5:
		s.lan.Sleep(n)
		time.Sleep(pause)
		s.lan.Wake(n)
	case 6:
		s.lan.Sever(n)
	case 7:
		for j := range s.nodes {
			if j != i && len(s.sc.schemes) > 0 { // one of the two transports
				x := s.sc.schemes[s.rng.IntN(2)]
				a, b := n.Host(x), s.nodes[j].Load().Host(x)
				s.lan.Network().Partition(a, b)
				time.Sleep(pause)
				s.lan.Network().Heal(a, b)
			}
		}
	}
}

// check looks for what must hold when the trouble is over.
func (s *sim) check() {
	s.mu.Lock()
	s.calls = len(s.outcome)
	s.mu.Unlock()
	for key, err := range s.outcome {
		s.judge(key, err)
	}
	for key := range s.ran {
		if _, ok := s.outcome[key]; !ok {
			s.found("call %s ran, and was not made", key)
		}
	}
	n := len(s.nodes)
	for i := range s.nodes {
		a := s.nodes[i].Load()
		st := a.Stats()
		s.drained, s.dead, s.lost = s.drained+st.Drained, s.dead+st.Dead, s.lost+st.Lost
		if st.Conns != n-1 || st.Up != n-1 || st.Known != n-1 || !s.sc.faults && !s.sc.leaves && st.Dead+st.Lost > 0 {
			s.found("%d nodes, %s: Stats() = %+v, want %d connections, all up; %s", n, a.Name(), st, n-1, show(a))
		}
		for j := range i {
			b := s.nodes[j].Load()
			ia, ib := a.Peer(b.ID()).Info(), b.Peer(a.ID()).Info()
			if ia.Dialed == ib.Dialed {
				s.found("%s and %s both have Dialed = %t", a.Name(), b.Name(), ia.Dialed)
			}
		}
		for j := range s.nodes {
			s.callOnce(i, j)
		}
	}
	if got, want := s.lan.Stats().Conns, n*(n-1)/2; got != want {
		s.found("the network has %d connections, want %d", got, want)
	}
}

func (s *sim) callOnce(i, j int) {
	if i == j {
		return
	}
	a, b := s.nodes[i].Load(), s.nodes[j].Load()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	if _, err := simUnary.Call(ctx, a.Peer(b.ID()), []byte("last")); err != nil {
		s.found("call from %s to %s at the end: %v", a.Name(), b.Name(), err)
	}
}

// judge compares what a caller was told with what happened.
func (s *sim) judge(key string, err error) {
	ran := s.ran[key]
	switch {
	case err == nil:
		s.ok++
		if ran != 1 {
			s.found("call %s succeeded and ran %d times", key, ran)
		}
		return
	case kith.Unprocessed(err):
		s.unprocessed++
		if ran != 0 {
			s.found("call %s is unprocessed and ran %d times: %v", key, ran, err)
		}
	default:
		s.unknown++
		if ran > 1 {
			s.found("call %s ran %d times: %v", key, ran, err)
		}
	}
	if !s.sc.faults && !(s.sc.leaves && kith.Unprocessed(err)) {
		s.found("call %s failed: %v", key, err)
	}
	if errors.Is(err, context.Canceled) {
		s.found("call %s: %v, and nobody cancelled it", key, err)
	}
}
