package flood_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
)

// An attack is one way to flood a server.
type attack struct {
	name  string
	over  []string // transports
	conns int      // connections at once, each in a loop of its own
	// run floods over one connection until ctx ends or the server throws it out.
	// It is called again and again.
	run func(ctx context.Context, x *attacker) error
	// limit changes the server's limits from the default; nil for attacks that
	// need none changed.
	limit func(*server.Config)
}

var (
	overMux  = []string{"plain", "tls"}
	overTLS  = []string{"tls"}
	overAll  = []string{"plain", "tls", "quic"}
	overQUIC = []string{"quic"}
)

// attacks is all attacks, in the order of the table.
var attacks = slices.Concat(muxAttacks, callAttacks, quicAttacks)

func findAttack(name string) *attack {
	for i := range attacks {
		if attacks[i].name == name {
			return &attacks[i]
		}
	}
	panic("no attack " + name)
}

// An attacker carries out one attack until it is closed.
type attacker struct {
	transport string
	addr      transport.Addr
	key       *kith.Key
	inFlight  int // calls that it has open at once, where it makes calls
	prepared  sync.Once
	initials  [][]byte // the first words of handshakes; set by prepared, as unready is
	unready   error

	frames, bytes atomic.Int64  // sent
	runs          atomic.Int64  // connections, those that came to nothing included
	hit           chan struct{} // closed when the first frame after hello was sent
	once          sync.Once

	cancel context.CancelFunc
	loops  sync.WaitGroup
	begin  time.Time
	cpu    time.Duration // at begin
}

// newAttacker begins an attack. Where that is done by calls, as many as inFlight
// are open at once on a connection.
func newAttacker(a *attack, name, addr string, inFlight int) (*attacker, error) {
	to, err := transport.ParseAddr(addr)
	if err != nil {
		return nil, err
	}
	x := &attacker{transport: name, addr: to, key: kith.NewKey(), inFlight: inFlight, hit: make(chan struct{})}
	var ctx context.Context
	ctx, x.cancel = context.WithCancel(context.Background())
	for range max(a.conns, 1) {
		x.loops.Go(func() { x.attackLoop(ctx, a) })
	}
	return x, nil
}

// attackLoop connects again and again. It ends with ctx; close waits for it.
func (x *attacker) attackLoop(ctx context.Context, a *attack) {
	for ctx.Err() == nil {
		_ = a.run(ctx, x) // being thrown out is what an attacker expects
		x.runs.Add(1)
	}
}

// sent counts frames that went out. From the first on the attack is on.
func (x *attacker) sent(frames, bytes int) {
	x.frames.Add(int64(frames))
	x.bytes.Add(int64(bytes))
	x.once.Do(func() { close(x.hit) })
}

// mark begins a measurement: what was sent before does not count.
func (x *attacker) mark() {
	x.begin, x.cpu = time.Now(), cpuTime()
	x.frames.Store(0)
	x.bytes.Store(0)
	x.runs.Store(0)
}

// An attackPhase says what an attacker achieved, a second.
type attackPhase struct {
	CPU    float64 // processors
	Frames float64 // or datagrams, or connections, whatever the attack sends
	Bytes  float64
	Runs   float64 // connections that ended
}

func (x *attacker) phase() attackPhase {
	d := time.Since(x.begin).Seconds()
	return attackPhase{
		CPU:    (cpuTime() - x.cpu).Seconds() / d,
		Frames: float64(x.frames.Load()) / d,
		Bytes:  float64(x.bytes.Load()) / d,
		Runs:   float64(x.runs.Load()) / d,
	}
}

func (x *attacker) close() {
	x.cancel()
	x.loops.Wait()
}

// attackerRole attacks on command.
type attackerRole struct{ x *attacker }

func (r *attackerRole) do(c command) (any, error) {
	switch c.Do {
	case "start":
		x, err := newAttacker(findAttack(c.Attack), c.Transport, c.Addr, wire.MaxLaneCalls)
		if err != nil {
			return nil, err
		}
		<-x.hit
		x.mark()
		r.x = x
		return nil, nil
	case "stop":
		p := r.x.phase()
		r.end()
		return p, nil
	}
	return nil, fmt.Errorf("unknown command %q", c.Do)
}

func (r *attackerRole) end() {
	if r.x != nil {
		r.x.close()
		r.x = nil
	}
}
