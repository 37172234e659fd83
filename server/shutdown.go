package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
)

// Shutdown ends the server without losing a call. It closes all listeners,
// tells all clients to make no more calls, serves those they have made, closes
// each connection once its client holds every outcome, and waits for the
// handlers. A client that calls too late gets an error that [kith.Unprocessed]
// is true of. A connection in its hello is waited for, too, for Config.HelloTimeout
// at most, and refused.
//
// When ctx ends first, everything is closed as by Close, and the error, which
// matches ctx.Err(), names the methods whose handlers still run, for how long,
// and who called them. It matches [ErrClosed] if it was Close that ended
// connections. Shutdown may be called again, also after Close: it waits for the
// handlers that are left. It must not be called by a handler, which it would
// wait for.
func (s *Server) Shutdown(ctx context.Context) error {
	_ = closeAll(s.drain()) // Close reports what is wrong with a listener
	if err := s.quiet(ctx); err != nil {
		left := s.left()
		_ = s.Close()
		return fmt.Errorf("shutdown: %w%s", err, left)
	}
	err := s.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return fmt.Errorf("shutdown: %w", ErrClosed)
	}
	return err
}

// Close ends the server now: its listeners, its connections with all calls on
// them, and the ctx of handlers. It returns when the server's goroutines have
// ended, without waiting for handlers; so it may be called by one, but not by
// an [admit.Policy]. It is idempotent, and returns what closing the listeners
// returned.
func (s *Server) Close() error {
	s.mu.Lock()
	s.stopLocked(closed)
	ls := slices.Clone(s.listeners)
	conns := slices.Collect(maps.Keys(s.conns))
	if len(conns) > 0 {
		s.cut = true
	}
	s.mu.Unlock()
	err := closeAll(ls)
	var closing sync.WaitGroup
	for _, c := range conns {
		closing.Go(c.closeHandler)
	}
	closing.Wait()
	s.loops.Wait()
	s.ends.Wait()
	s.workers.Close()
	return err
}

// drain begins to drain, and returns the listeners to close.
func (s *Server) drain() []transport.Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == serving {
		s.stopLocked(draining)
		for c := range s.conns {
			if c.sess != nil && !c.draining {
				c.draining = true
				s.loops.Go(c.drainHandler)
			}
		}
	}
	return slices.Clone(s.listeners)
}

// stopLocked moves on to a later state.
func (s *Server) stopLocked(to state) {
	if s.state == serving {
		close(s.stop)
	}
	s.state = max(s.state, to)
}

// quiet waits until nothing is served: first by any Serve or connection, then
// by any handler.
func (s *Server) quiet(ctx context.Context) error {
	s.mu.Lock()
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.checkIdleLocked()
	s.mu.Unlock()
	if err := wait(ctx, idle); err != nil {
		return err
	}
	return wait(ctx, s.workers.Quiet())
}

func wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkIdleLocked is called when a Serve or a connection has ended.
func (s *Server) checkIdleLocked() {
	if s.idle != nil && len(s.conns) == 0 && len(s.listeners) == 0 {
		close(s.idle)
		s.idle = nil
	}
}

func closeAll(ls []transport.Listener) error {
	var errs []error
	for _, l := range ls {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// lingering is the sessions that ended before their handlers did.
type lingering struct {
	sessions []*session.Session
	sweepAt  int
}

// add drops those whose handlers have returned whenever their number may have
// doubled, so that there are never many more than calls in flight.
func (l *lingering) add(sess *session.Session) {
	if len(l.sessions) >= l.sweepAt {
		l.sessions = slices.DeleteFunc(l.sessions, func(s *session.Session) bool { return len(s.Serving()) == 0 })
		l.sweepAt = max(64, 2*len(l.sessions))
	}
	l.sessions = append(l.sessions, sess)
}
