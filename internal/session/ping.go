package session

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

// pinger finds out that the other side is gone. It is guarded by Session.mu.
type pinger struct {
	timer  *time.Timer
	active bool          // calls were open at the last tick, or one was begun since
	began  time.Duration // when active became true, since base
	sent   time.Duration // when the last ping was sent, since base
	wait   bool          // its answer has not come
	rtt    time.Duration
	token  uint64
	pong   chan struct{} // closed when the answer comes; nil while nobody waits

	// The other side's pings, the reader's own.
	got   int
	since time.Duration
}

// pingBurst is how many pings the other side may send above its rate.
const pingBurst = 16

func (s *Session) startPingsLocked() {
	if s.out.dead != nil {
		return
	}
	s.ping.active = true
	s.heard.Store(int64(time.Since(s.base)))
	s.ping.timer = time.AfterFunc(s.nextTickLocked(0, 0), s.tick)
}

func (s *Session) stopPingsLocked() {
	if s.ping.timer != nil {
		s.ping.timer.Stop()
	}
}

// activeLocked is called when a call begins, of either side: from now on the
// bounds for open calls hold. The silence before was nothing unusual, and does
// not count.
func (s *Session) activeLocked() {
	if s.ping.active || s.ping.timer == nil {
		return
	}
	s.ping.active = true
	s.ping.began = time.Since(s.base)
	s.ping.timer.Reset(s.nextTickLocked(0, 0))
}

// calledUpon is activeLocked for a call of the other side's, of which so many
// are served with it. Where it is not the only one, the bounds hold already, or
// are about to: the count is that of the moment when it came, so that of two
// that come together one is the first.
func (s *Session) calledUpon(running int64) {
	if running > 1 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.activeLocked()
}

// tick pings if nothing was heard for an interval, and ends a connection whose
// other side has been silent for too long.
func (s *Session) tick() {
	s.mu.Lock()
	if s.out.dead != nil {
		s.mu.Unlock()
		return
	}
	now := time.Since(s.base)
	active := s.out.open > 0 || s.out.streams > 0 || s.in.running.Load() > 0
	if active && !s.ping.active {
		s.ping.began = now
	}
	s.ping.active = active
	silent := now - time.Duration(s.heard.Load())
	waited := silent // of that, how long the bound has held
	if active {
		waited = min(silent, now-s.ping.began)
	}
	interval, bound := s.pingBoundsLocked()
	if bound > 0 && waited >= bound {
		s.mu.Unlock()
		s.kill(kith.Unavailable, fmt.Sprintf("nothing heard for %v", silent.Round(time.Millisecond)))
		return
	}
	if interval > 0 && silent >= interval && now-s.ping.sent >= interval && s.out.live {
		s.sendPingLocked(now)
	}
	s.ping.timer.Reset(s.nextTickLocked(silent, waited))
	s.mu.Unlock()
}

func (s *Session) sendPingLocked(now time.Duration) {
	s.ping.sent, s.ping.wait = now, true
	s.ping.token++
	s.appendLocked(func(dst []byte) []byte {
		start := len(dst)
		return wire.EndLane(binary.BigEndian.AppendUint64(wire.AppendLane(dst, wire.FramePing), s.ping.token), start)
	})
}

// Ping asks the other side whether it is there, and returns nil when it
// answers, ctx's error if that ends first and nothing at all was heard until
// then, or why the session ended. The other side puts up with one ping per ping
// floor and a few more. It may be called once hello is over.
func (s *Session) Ping(ctx context.Context) error {
	s.mu.Lock()
	began := int64(time.Since(s.base))
	if s.out.dead == nil {
		s.sendPingLocked(time.Duration(began))
	}
	if s.ping.pong == nil {
		s.ping.pong = make(chan struct{})
	}
	pong := s.ping.pong
	s.mu.Unlock()
	s.readOn()
	select {
	case <-pong:
		return nil
	case <-s.ended:
		return s.err
	case <-ctx.Done():
		if s.heard.Load() > began {
			return nil // the answer is behind what else comes, over a slow link
		}
		return ctx.Err()
	}
}

// pingBoundsLocked returns the interval and the silence bound that hold now.
// Neither side pings more often than the other puts up with.
func (s *Session) pingBoundsLocked() (interval, bound time.Duration) {
	interval, bound = s.cfg.IdlePing, s.cfg.IdleSilence
	if s.ping.active {
		interval, bound = s.cfg.Ping, s.cfg.Silence
	}
	if interval > 0 && s.out.live {
		interval = max(interval, s.remote.PingFloor)
	}
	return interval, bound
}

// nextTickLocked returns when to look again: as soon as a ping may be due or
// the bound reached.
func (s *Session) nextTickLocked(silent, waited time.Duration) time.Duration {
	interval, bound := s.pingBoundsLocked()
	const never = 24 * time.Hour
	next := time.Duration(never)
	if interval > 0 {
		next = interval
		if silent < interval {
			next = interval - silent
		}
	}
	if bound > 0 && bound > waited {
		next = min(next, bound-waited)
	}
	if s.ping.active && interval <= 0 && bound > 0 {
		next = min(next, bound/3) // to see soon that no call is open any more
	}
	return max(next, time.Millisecond)
}

// onPing answers a ping, and takes the answer to one. Pings that come before
// the last was answered share its answer, so that they queue nothing.
func (s *Session) onPing(t wire.FrameType, body []byte) error {
	if len(body) != 8 {
		return fmt.Errorf("ping of %d bytes", len(body))
	}
	now := time.Since(s.base)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t == wire.FramePong {
		if s.ping.wait && binary.BigEndian.Uint64(body) == s.ping.token {
			s.ping.wait = false
			s.ping.rtt = now - s.ping.sent
			if s.ping.pong != nil {
				close(s.ping.pong)
				s.ping.pong = nil
			}
		}
		return nil
	}
	s.ping.got++
	if allowed := pingBurst + int((now-s.ping.since)/max(s.cfg.PingFloor, time.Millisecond)); s.ping.got > allowed {
		return fmt.Errorf("pings more often than every %v", s.cfg.PingFloor)
	}
	s.lane.pong = append(s.lane.pongMem[:0], body...)
	if s.out.dead == nil {
		s.flushLocked()
	}
	return nil
}

// RTT returns the round-trip time of the last ping, 0 before the first.
func (s *Session) RTT() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ping.rtt
}
