package flood_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// What the server serves: echo for everybody, the rest for attackers.
var (
	echo  = kith.Unary[[]byte, []byte]("flood/Echo")
	hang  = kith.Unary[[]byte, []byte]("flood/Hang")
	crash = kith.Unary[[]byte, []byte]("flood/Crash")
	parse = kith.Unary[any, bool]("flood/Parse")
	pour  = kith.ServerStream[[]byte, []byte]("flood/Pour")
	gulp  = kith.ClientStream[[]byte, int]("flood/Gulp")
)

func handlers() *kith.Handlers {
	var h kith.Handlers
	echo.Handle(&h, func(_ context.Context, p []byte) ([]byte, error) { return p, nil })
	hang.Handle(&h, func(ctx context.Context, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	crash.Handle(&h, func(context.Context, []byte) ([]byte, error) { panic("as asked for") })
	parse.Handle(&h, func(context.Context, any) (bool, error) { return true, nil })
	pour.Handle(&h, func(_ context.Context, _ []byte) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for p := make([]byte, 32<<10); yield(p, nil); {
			}
		}
	})
	gulp.Handle(&h, func(_ context.Context, in iter.Seq2[[]byte, error]) (int, error) {
		n := 0
		for p, err := range in {
			if err != nil {
				return n, err
			}
			n += len(p)
		}
		return n, nil
	})
	return &h
}

// newTransport returns a transport by the name that rows have for it.
func newTransport(name string) (transport.Transport, error) {
	switch name {
	case "plain":
		return tcp.New(tcp.Config{Plaintext: true}), nil
	case "tls":
		return tcp.New(tcp.Config{}), nil
	case "quic":
		return quic.New(quic.Config{}), nil
	}
	return nil, fmt.Errorf("no transport %q", name)
}

// A rig is a server on the loopback, with the limits that servers have by
// default, and a log as they have one.
type rig struct {
	*server.Server
	tr      transport.Transport
	addr    transport.Addr
	logged  atomic.Int64
	serving chan error
}

// newRig starts a server.
func newRig(ctx context.Context, name string, a *attack) (*rig, error) {
	tr, err := newTransport(name)
	if err != nil {
		return nil, err
	}
	r := &rig{tr: tr, serving: make(chan error, 1)}
	cfg := server.Config{
		Handlers: handlers(), Admit: admit.Anyone(),
		Logger: slog.New(slog.NewTextHandler(r, nil)),
	}
	if a.limit != nil {
		a.limit(&cfg)
	}
	if r.Server, err = server.New(cfg); err != nil {
		return nil, errors.Join(err, tr.Close())
	}
	l, err := tr.Listen(ctx, transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		return nil, errors.Join(err, tr.Close())
	}
	r.addr = l.Addr()
	go r.serveLoop(l)
	return r, nil
}

// Write counts what is logged.
func (r *rig) Write(p []byte) (int, error) {
	r.logged.Add(int64(len(p)))
	return io.Discard.Write(p)
}

// serveLoop serves until close, which waits for it.
func (r *rig) serveLoop(l transport.Listener) { r.serving <- r.Serve(context.Background(), l) }

// close ends the server, and returns when its handlers have returned.
func (r *rig) close() error {
	err := r.Close()
	<-r.serving
	if e := r.Shutdown(context.Background()); !errors.Is(e, server.ErrClosed) {
		err = errors.Join(err, e)
	}
	return errors.Join(err, r.tr.Close())
}

// serverRole is a server in a process of its own.
type serverRole struct {
	r       *rig
	profile *os.File

	cpu, gc time.Duration // when a phase began
	begin   time.Time
}

// A serverPhase says what a server spent in a phase, and what it holds.
type serverPhase struct {
	CPU, GC float64 // processors; the second for collecting garbage
	Heap    uint64
	Logged  int64
	Stats   server.Stats
}

func (s *serverRole) do(c command) (any, error) {
	switch c.Do {
	case "serve":
		r, err := newRig(context.Background(), c.Transport, findAttack(c.Attack))
		if err != nil {
			return nil, err
		}
		s.r = r
		return r.addr.String(), nil
	case "settle":
		s.settle()
		return nil, nil
	case "begin":
		s.begin, s.cpu, s.gc = time.Now(), cpuTime(), gcTime()
		return nil, s.startProfile(c.File)
	case "finish":
		return s.finish(), nil
	}
	return nil, fmt.Errorf("unknown command %q", c.Do)
}

// settle waits until what an attack left behind is gone, for 10 s at the most, so
// that it does not count against the phase that follows.
func (s *serverRole) settle() {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); <-tick.C {
		if st := s.r.Stats(); st.Calls == 0 && st.Pending == 0 && st.Conns <= 1 {
			break
		}
	}
	runtime.GC()
}

func (s *serverRole) startProfile(file string) error {
	if file == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	s.profile = f
	return pprof.StartCPUProfile(f)
}

func (s *serverRole) finish() serverPhase {
	if s.profile != nil {
		pprof.StopCPUProfile()
		_ = s.profile.Close()
		s.profile = nil
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	d := time.Since(s.begin).Seconds()
	return serverPhase{
		CPU: (cpuTime() - s.cpu).Seconds() / d, GC: (gcTime() - s.gc).Seconds() / d,
		Heap: m.HeapAlloc, Logged: s.r.logged.Load(), Stats: s.r.Stats(),
	}
}

func (s *serverRole) end() {
	if s.r != nil {
		_ = s.r.close()
	}
}

// gcTime returns the processor time spent on collecting garbage.
func gcTime() time.Duration {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return time.Duration(s[0].Value.Float64() * float64(time.Second))
}
