package quic

import (
	"context"
	"net"
	"sync/atomic"

	"github.com/kith-go/kith"
	quicgo "github.com/quic-go/quic-go"
)

// A newcomer is a connection from its first packet until a listener's Accept
// returns it. It travels in the context that quic-go keeps for the connection.
type newcomer struct {
	share
	l       *listener
	source  string // as the gate counts it
	remote  net.Addr
	over    atomic.Bool
	unwatch func() bool
}

type newcomerKey struct{}

// admit is quic-go's question whether a newcomer may begin a handshake. What
// it returns is the parent of the connection's context.
func (s *socket) admit(ctx context.Context, info *quicgo.ClientInfo) (context.Context, error) {
	l := s.listener.Load()
	if l == nil {
		return nil, errRefused
	}
	n := &newcomer{l: l, source: sourceOf(info.RemoteAddr), remote: info.RemoteAddr}
	if err := l.gate.enter(n.source); err != nil {
		s.t.handshakeFailed(n.remote, err)
		return nil, err
	}
	ctx = context.WithValue(context.WithValue(ctx, newcomerKey{}, n), shareKey{}, &n.share)
	s.newcomers.Add(1)
	// Begins when the connection ends while it is a newcomer; release waits.
	n.unwatch = context.AfterFunc(ctx, func() { n.failedHandler(context.Cause(ctx)) })
	return ctx, nil
}

// newcomerOf returns what admit made for the connection.
func newcomerOf(qc *quicgo.Conn) *newcomer {
	return qc.Context().Value(newcomerKey{}).(*newcomer)
}

// accepted ends the watch over a newcomer that is one no more. It reports
// false if the connection has ended already.
func (n *newcomer) accepted() bool {
	if !n.over.CompareAndSwap(false, true) {
		return false
	}
	n.l.gate.leave(n.source)
	if n.unwatch() {
		n.l.sock.newcomers.Done()
	}
	return true
}

// failedHandler does what is to be done when a newcomer's connection ended.
func (n *newcomer) failedHandler(cause error) {
	s := n.l.sock
	defer s.newcomers.Done()
	if !n.over.CompareAndSwap(false, true) {
		return // it was accepted at that moment
	}
	n.l.gate.leave(n.source)
	n.giveBack()
	if s.listener.Load() != nil { // else it was this side that ended it
		s.t.handshakeFailed(n.remote, describe(cause))
	}
}

// refuse ends an accepted connection that nobody gets.
func (n *newcomer) refuse(qc *quicgo.Conn, reason string) {
	_ = qc.CloseWithError(quicgo.ApplicationErrorCode(kith.Unavailable), reason)
	n.giveBack()
}

// handshakeFailed logs why somebody was not let in, which nobody else learns.
func (t *Transport) handshakeFailed(remote net.Addr, err error) {
	if skipped, ok := t.fail.Take(messagesPerSecond); ok {
		t.log.Warn("handshake failed", "remote", hostOf(remote), "err", quoteCut(err.Error()), "unreported", skipped)
	}
}

// messagesPerSecond is how many of them strangers can cause.
const messagesPerSecond = 5
