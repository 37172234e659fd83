package netconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/bar"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/ration"
	"github.com/kith-go/kith/transport"
)

// A listener accepts connections. It runs acceptLoop, and a handshakeHandler
// for each connection whose handshake has begun and that Accept has not returned yet;
// Close joins them.
type listener struct {
	t    *Transport
	ln   net.Listener
	cfg  *tls.Config // nil for plaintext
	addr transport.Addr

	ready   chan *mux.Conn // handshakeHandlers send, nobody closes
	done    chan struct{}  // closed by Close
	closing sync.Once
	waiting lobby
	pace    mux.Pace // acceptLoop's own, as bar is
	bar     *bar.Bar // nil if ln is not to have a filter
	wg      sync.WaitGroup
}

// Listen implements [transport.Transport].
func (t *Transport) Listen(ctx context.Context, a transport.Addr) (transport.Listener, error) {
	l, err := t.listen(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("listen at %v: %w", a.WithID(kith.ID{}), err)
	}
	return l, nil
}

func (t *Transport) listen(ctx context.Context, a transport.Addr) (*listener, error) {
	if t.cfg.Listen == nil {
		return nil, errors.New("this transport only dials")
	}
	cfg, err := t.serverTLS()
	if err != nil {
		return nil, err
	}
	ctx, done, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ln, err := t.cfg.Listen(ctx, a)
	if err != nil {
		return nil, t.closedOr(err)
	}
	l := &listener{
		t:     t,
		ln:    ln,
		cfg:   cfg,
		addr:  t.addr(ln.Addr()).WithID(t.ID()),
		ready: make(chan *mux.Conn),
		done:  make(chan struct{}),
	}
	if own, ok := ln.(bar.Listener); ok && t.cfg.MaxHandshakesPerSource > 0 {
		l.bar = bar.TCP(bar.Filter(own))
	}
	rate, burst := t.cfg.HandshakeRate, handshakeBurst
	if cfg == nil { // there is little to compute
		rate, burst = rate*plainFactor, burst*plainFactor
	}
	l.waiting.init(t.cfg.MaxHandshakes, t.cfg.MaxHandshakesPerSource, ration.NewSpacing(rate, burst), l.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = ln.Close()
		return nil, transport.ErrClosed
	}
	t.listeners[l] = struct{}{}
	l.wg.Add(1)
	// Ends when ln is closed; Close waits for it.
	go l.acceptLoop()
	return l, nil
}

// Accept implements [transport.Listener].
func (l *listener) Accept(ctx context.Context) (transport.Conn, error) {
	select {
	case <-l.done:
		return nil, fmt.Errorf("accept at %v: %w", l.addr, transport.ErrClosed)
	default:
	}
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.done:
		return nil, fmt.Errorf("accept at %v: %w", l.addr, transport.ErrClosed)
	case <-ctx.Done():
		return nil, fmt.Errorf("accept at %v: %w", l.addr, ctx.Err())
	}
}

// Addr implements [transport.Listener].
func (l *listener) Addr() transport.Addr { return l.addr }

// Close implements [transport.Listener].
func (l *listener) Close() error {
	var err error
	l.closing.Do(func() {
		close(l.done)
		err = l.ln.Close()
		l.waiting.close()
		l.t.mu.Lock()
		delete(l.t.listeners, l)
		l.t.mu.Unlock()
	})
	l.wg.Wait()
	return err
}

// The pauses after an error of the underlying listener, such as too many open
// files.
const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// acceptLoop accepts until the listener is closed, whatever happens.
func (l *listener) acceptLoop() {
	defer l.wg.Done()
	defer l.bar.Stop()
	pause := minPause
	for {
		raw, err := l.ln.Accept()
		if err == nil {
			pause = minPause
			if !l.receive(raw) {
				return
			}
			continue
		}
		select {
		case <-l.done:
			return
		default:
		}
		l.t.log.warn("accept", "listener", l.addr.String(), "err", err.Error(), "retry_in", pause)
		select {
		case <-l.done:
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// connUnits is what a connection counts for the loop's pace: 16 in a millisecond are
// more than anybody needs, and a loop that never waits keeps those who have theirs
// from being seen.
const connUnits = 64

// receive finds a place for a new connection. It returns false after Close.
func (l *listener) receive(raw net.Conn) bool {
	gone, ok := l.waiting.enter(raw)
	if !ok {
		_ = raw.Close()
		return false
	}
	if gone != nil {
		l.t.log.refused(gone.raw.RemoteAddr(), net.ErrClosed, true)
		l.bar.Dropped(gone.source, time.Now())
	}
	l.pace.Add(connUnits)
	return true
}

// start starts the handshake of a guest whose turn it is. The lobby calls it, and does
// not once it is closed.
func (l *listener) start(g *guest) {
	l.wg.Add(1)
	// Ends with the handshake, which its timeout bounds, and with Accept or Close;
	// Close waits for it.
	go l.handshakeHandler(g)
}

// handshakeHandler does the handshake of one connection, and hands it to
// Accept.
func (l *listener) handshakeHandler(g *guest) {
	defer l.wg.Done()
	defer l.waiting.leave(g)
	ctx, done, err := l.t.begin(context.Background())
	if err != nil {
		_ = g.raw.Close()
		return
	}
	defer done()
	link, info, err := l.t.secure(ctx, g.raw, l.cfg, false)
	if err != nil {
		l.t.log.refused(g.raw.RemoteAddr(), err, l.waiting.wasEvicted(g))
		refuse(g.raw, l.cfg == nil, err)
		_ = g.raw.Close()
		return
	}
	c, err := l.t.newConn(link, info)
	if err != nil {
		return
	}
	l.waiting.settle(g)
	select {
	case l.ready <- c:
	case <-l.done:
		_ = c.CloseWithError(kith.Unavailable, "listener closed")
	}
}

// VerifiesClients implements [transport.ClientVerifier].
func (l *listener) VerifiesClients() bool {
	return l.cfg != nil && l.cfg.ClientAuth >= tls.VerifyClientCertIfGiven
}
