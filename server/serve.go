package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
)

// Accept is tried again after a pause that doubles with each error in a row.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// ListenAndServe listens at addr, in the form that [transport.ParseAddr]
// reads, and serves as [Server.Serve] does. It blocks, and never returns nil.
func (s *Server) ListenAndServe(ctx context.Context, t transport.Transport, addr string) error {
	a, err := transport.ParseAddr(addr)
	if err != nil {
		return err
	}
	if s.stopping() {
		return ErrClosed
	}
	l, err := t.Listen(ctx, a)
	if err != nil {
		return err
	}
	return s.Serve(ctx, l)
}

// Serve accepts connections from l until ctx or the server ends, and closes l.
// It blocks, and never returns nil: the error matches ctx.Err(), or [ErrClosed]
// after Shutdown or Close, or [transport.ErrClosed] alone if somebody else
// closed l or its transport. The end of ctx stops the accepting only:
// connections live on until Shutdown or Close. Any other error of l's is
// logged, and Accept tried again after 5 ms to 1 s.
//
// It may be called several times, for several listeners at once. If the server
// has no Admit policy, and l is no [transport.ClientVerifier] that verifies
// clients, it fails with [admit.ErrNoPolicy].
func (s *Server) Serve(ctx context.Context, l transport.Listener) error {
	defer func() { _ = l.Close() }() // where serve did not get as far
	return fmt.Errorf("serve %s: %w", l.Addr(), s.serve(ctx, l))
}

// serve never returns nil.
func (s *Server) serve(ctx context.Context, l transport.Listener) error {
	if s.cfg.Admit == nil && !verifiesClients(l) {
		return admit.ErrNoPolicy
	}
	if !s.addListener(l) {
		return ErrClosed
	}
	defer s.removeListener(l) // once it is closed
	defer func() { _ = l.Close() }()
	var pause time.Duration
	for {
		tc, err := l.Accept(ctx)
		if err == nil {
			pause = 0
			s.take(tc)
			continue
		}
		switch {
		case s.stopping():
			return ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, transport.ErrClosed):
			return err
		}
		pause = min(max(2*pause, minPause), maxPause)
		s.log.write(slog.LevelWarn, "accept failed", slog.String("addr", l.Addr().String()),
			slog.String("err", clean(err.Error())), slog.Duration("pause", pause))
		if err := s.sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// verifiesClients reports whether each connection that l accepts has been
// verified by a CA.
func verifiesClients(l transport.Listener) bool {
	v, ok := l.(transport.ClientVerifier)
	return ok && v.VerifiesClients()
}

// sleep returns an error if ctx or the server ended before d was over.
func (s *Server) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// addListener reports false if the server is ending.
func (s *Server) addListener(l transport.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != serving {
		return false
	}
	s.listeners = append(s.listeners, l)
	return true
}

func (s *Server) removeListener(l transport.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.listeners, l); i >= 0 {
		s.listeners = slices.Delete(s.listeners, i, i+1)
	}
	s.checkIdleLocked()
}
