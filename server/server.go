package server

import (
	"fmt"
	"slices"
	"sync"

	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// ErrClosed is matched by the error of Serve and ListenAndServe once the server
// has been shut down or closed. It matches [transport.ErrClosed] and
// [net.ErrClosed].
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "server closed" }
func (closedError) Unwrap() error { return transport.ErrClosed }

// A Server serves calls on the connections of any number of listeners. Get one
// from [New]; its methods may be called at once from any number of goroutines.
// Whoever made it must end it with Shutdown or Close, which make Serve return.
//
// It runs a goroutine for each connection in its hello, and one for each that
// drains; for an idle connection none beside those of its session.
type Server struct {
	cfg     Config
	admits  session.Config // of connections that are let in if Admit says so
	full    session.Config // of those refused as there are too many
	workers *session.Workers
	log     *limitedLog

	// stop is closed when the server begins to end: Accept is not tried again.
	stop chan struct{}
	// refusing holds a token for each connection that is being turned away
	// without a hello.
	refusing chan struct{}

	loops sync.WaitGroup // the handlers of conns; joined by Close
	ends  sync.WaitGroup // conns that were entered and have not been left

	mu sync.Mutex

	// Guarded by mu.
	state     state
	cut       bool                 // Close ended connections
	listeners []transport.Listener // being served, in the order they came
	conns     map[*conn]struct{}
	held      int // those of conns that count for MaxConns
	admitted  int // those of conns that have a session
	pending   pending
	lingering lingering
	idle      chan struct{} // closed when no listener and no conn is left; nil while nobody waits
	totals    struct{ accepted, refused, limited, failed uint64 }
}

// state only ever moves on.
type state int

const (
	serving state = iota
	draining
	closed
)

// New returns a Server. It fails if cfg has no Handlers or a wrong codec. The
// configuration is copied; its Handlers take no further method from now on.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("new server: %w", err)
	}
	cfg = cfg.withDefaults()
	cfg.Handlers.Methods() // marks them as in use
	s := &Server{
		cfg:      cfg,
		workers:  session.NewSharedWorkers(cfg.MaxCalls),
		log:      &limitedLog{to: cfg.Logger},
		stop:     make(chan struct{}),
		refusing: make(chan struct{}, maxRefusing),
		conns:    make(map[*conn]struct{}),
		pending: pending{
			perSource: cfg.MaxPending,
			patience:  min(cfg.HelloTimeout/10, maxPatience),
			sources:   make(map[string][]*conn),
		},
	}
	inner := cfg.Admit
	if inner == nil {
		inner = admit.Verified()
	}
	s.admits = cfg.session(s.workers, &policy{s: s, inner: inner})
	s.full = s.admits
	if p, ok := cfg.Admit.(session.Pairer); ok { // as package peer's policy
		s.admits.Pairer, s.admits.Instance = p, p.Instance()
	}
	s.full.Admit = refuseAll{errFull}
	return s, nil
}

// Addrs returns the addresses that the server listens at now, in the order in
// which their Serve was called. Dialled from the same host, each reaches it.
func (s *Server) Addrs() []transport.Addr {
	s.mu.Lock()
	var ls []transport.Listener
	if s.state == serving {
		ls = slices.Clone(s.listeners)
	}
	s.mu.Unlock()
	addrs := make([]transport.Addr, len(ls))
	for i, l := range ls {
		addrs[i] = l.Addr()
	}
	return addrs
}

// Stats is what a [Server] holds now, and what it has counted since it was
// made. What it holds is zero after Shutdown, and after Close as soon as the
// handlers have returned.
type Stats struct {
	// Conns is the number of open connections that were let in, Pending of those
	// in their hello.
	Conns, Pending int
	// Calls is the number of calls in flight.
	Calls int
	// Accepted counts connections that were let in, Refused those that Admit
	// refused.
	Accepted, Refused uint64
	// Limited counts connections turned away for MaxConns or MaxPending, or as
	// the server was ending.
	Limited uint64
	// Failed counts connections that ended before their hello was over: lost,
	// silent, or not speaking the protocol.
	Failed uint64
}

// Stats returns a snapshot.
func (s *Server) Stats() Stats {
	calls := s.workers.Busy()
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Conns: s.admitted, Pending: len(s.pending.all), Calls: calls,
		Accepted: s.totals.accepted, Refused: s.totals.refused,
		Limited: s.totals.limited, Failed: s.totals.failed,
	}
}
