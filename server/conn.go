package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
	"github.com/kith-go/kith/transport"
)

// A conn is one connection, from being accepted to its end.
type conn struct {
	s    *Server
	tc   transport.Conn
	from string // the source that it counts for
	came time.Time
	full bool // it came when there were too many

	// Guarded by s.mu.
	sess     *session.Session // nil in the hello
	draining bool
	turned   bool // it had to go before its hello was over
}

// maxRefusing bounds the connections that are being turned away without a
// hello. Closing one may take a second where its other side does not read.
const maxRefusing = 1024

// take makes an accepted connection one of the server's, or turns it away.
func (s *Server) take(tc transport.Conn) {
	c := &conn{s: s, tc: tc, from: source(tc.Info().Remote), came: time.Now()}
	s.mu.Lock()
	gone, ok := s.enterLocked(c)
	s.mu.Unlock()
	if !ok {
		gone = c
	}
	if gone != nil {
		s.turnAway(gone)
	}
}

func (s *Server) enterLocked(c *conn) (gone *conn, ok bool) {
	if s.state == closed {
		return nil, false
	}
	if gone, ok = s.pending.enter(c); !ok {
		return nil, false
	}
	if gone != nil {
		gone.turned = true
	}
	c.full = s.cfg.MaxConns >= 0 && s.held >= s.cfg.MaxConns
	if !c.full {
		s.held++
	}
	s.conns[c] = struct{}{}
	s.ends.Add(1)
	s.loops.Go(c.helloHandler)
	return gone, true
}

// turnAway closes a connection before its hello. It waits only while very many
// are being closed.
func (s *Server) turnAway(c *conn) {
	s.refusing <- struct{}{}
	s.mu.Lock()
	s.totals.limited++
	ended := s.state == closed
	if !ended {
		s.loops.Go(c.refuseHandler)
	}
	s.mu.Unlock()
	if ended {
		_ = c.tc.CloseWithError(kith.Unavailable, "server closed")
		<-s.refusing
	}
}

// refuseHandler closes a connection. It ends with that; Close waits for it.
func (c *conn) refuseHandler() {
	_ = c.tc.CloseWithError(kith.ResourceExhausted, errPending.Error())
	<-c.s.refusing
	c.log(slog.LevelWarn, "connection turned away", errPending)
}

var errPending = errors.New("too many connections before hello")

// helloHandler does a connection's hello, and drains it if the server began to
// end meanwhile. It ends within the hello timeout, or when a drained connection
// ends; Close makes both happen, and waits for it.
func (c *conn) helloHandler() {
	s := c.s
	cfg := &s.admits
	if c.full {
		cfg = &s.full
	}
	// The session has to be the first to use the connection.
	sess, err := session.Accept(context.Background(), c.tc, cfg)
	if err != nil {
		c.helloFailed(err)
		return
	}
	s.mu.Lock()
	s.pending.leave(c)
	s.totals.accepted++
	s.admitted++
	c.sess = sess
	c.draining = s.state != serving
	drain := c.draining
	s.mu.Unlock()
	sess.AfterEnd(c.onEnd)
	if drain {
		c.drainHandler()
	}
}

// helloFailed lets go of a connection that has ended in its hello.
func (c *conn) helloFailed(err error) {
	s := c.s
	count, level, what := s.kindOf(err)
	s.mu.Lock()
	s.pending.leave(c)
	// What this side ended on its own account is no failure of the other's.
	quiet := count == &s.totals.failed && (c.turned || s.state == closed)
	if !quiet {
		*count++
	}
	s.leaveLocked(c)
	s.mu.Unlock()
	if !quiet {
		c.log(level, what, err)
	}
	s.ends.Done()
}

// kindOf says which of the totals an error of session.Accept counts for, and
// how to log it.
func (s *Server) kindOf(err error) (count *uint64, level slog.Level, what string) {
	var r refused
	var l limited
	switch {
	case errors.As(err, &r):
		return &s.totals.refused, slog.LevelWarn, "peer refused"
	case errors.As(err, &l):
		return &s.totals.limited, slog.LevelWarn, "connection turned away"
	}
	return &s.totals.failed, slog.LevelInfo, "hello failed"
}

// leaveLocked is the opposite of enterLocked.
func (s *Server) leaveLocked(c *conn) {
	delete(s.conns, c)
	if !c.full {
		s.held--
	}
	s.checkIdleLocked()
}

func (c *conn) log(level slog.Level, what string, err error) {
	c.s.log.conn(level, what, c.tc.Info(), err)
}

// drainHandler drains the session. It ends with the connection; Close ends
// that, and waits for it.
func (c *conn) drainHandler() { _ = c.sess.Drain(c.tc.Context()) }

// onEnd runs when the session and its connection have ended, on a goroutine of
// its own, which Close waits for. A session with handlers left is remembered until they have
// returned.
func (c *conn) onEnd() {
	s := c.s
	_ = c.sess.Close(kith.Unavailable, "") // joins its goroutines
	running := len(c.sess.Serving()) > 0
	s.mu.Lock()
	s.admitted--
	if running {
		s.lingering.add(c.sess)
	}
	s.leaveLocked(c)
	s.mu.Unlock()
	s.ends.Done()
}

// closeHandler ends the connection, which takes a second or so where the other
// side does not read. Close waits for it.
func (c *conn) closeHandler() {
	c.s.mu.Lock()
	sess := c.sess
	c.s.mu.Unlock()
	const reason = "server closed"
	if sess != nil {
		_ = sess.Close(kith.Unavailable, reason)
		return
	}
	_ = c.tc.CloseWithError(kith.Unavailable, reason)
}
