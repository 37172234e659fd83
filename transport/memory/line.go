package memory

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Why nothing moves on a line: a set of these.
const (
	stalled = 1 << iota
	parted
	fromDown
	toDown
)

// A line is one direction between two hosts. While it is perfect and not
// blocked it takes no part: the ends of a connection deal with each other
// directly. Else everything that one host sends the other goes through it:
// bytes wait for their turn, and pieces are in flight. One timer, set only
// while something is to happen, does the rest.
type line struct {
	shaped atomic.Bool  // not perfect, or blocked
	bytes  atomic.Int64 // carried so far

	mu     sync.Mutex
	link   Link
	blocks int // why nothing moves, zero if it does
	rng    *rand.Rand
	turn   *pipe     // the last one in a circular list of those with bytes to send
	since  time.Time // when the line last began to be busy
	sent   int64     // bytes sent since
	flight flight
	posted uint64
	timer  *time.Timer
	active bool      // deliverHandler is at work
	rest   sync.Cond // signalled when active ends
	closed bool
}

// A flow is the line's part of a pipe.
type flow struct {
	queued int       // bytes in the pipe's buffer that have not been sent
	fin    bool      // a half-close follows them
	next   *pipe     // in the line's list, nil if not in it
	last   time.Time // when the piece before arrives
}

func newLine(link Link, blocks int, rng *rand.Rand) *line {
	l := &line{link: link, blocks: blocks, rng: rng}
	l.rest.L = &l.mu
	l.reshape()
	return l
}

// reshape follows a change of link or blocks. The caller holds mu.
func (l *line) reshape() { l.shaped.Store(l.blocks != 0 || !l.link.perfect()) }

// setLink changes the link for what is sent from now on.
func (l *line) setLink(link Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since, l.sent = l.freeAt(), 0
	l.link = link
	l.reshape()
	l.advance()
}

// block sets or clears one reason why nothing moves. Only a stall leaves alone
// what is in flight; after the others it is sent again.
func (l *line) block(why int, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if on {
		l.blocks |= why
	} else if l.blocks&why != 0 {
		l.blocks &^= why
		now := time.Now()
		if l.freeAt().Before(now) {
			l.since, l.sent = now, 0
		}
		if why != stalled {
			l.flight.postpone(now.Add(l.link.Latency))
		}
	}
	l.reshape()
	l.advance()
}

// refuses reports whether new dials fail.
func (l *line) refuses() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.link.Refuse
}

// carried counts n bytes as brought to the other side.
func (l *line) carried(n int) { l.bytes.Add(int64(n)) }

// send takes on the next n bytes of p, and a half-close behind them.
func (l *line) send(p *pipe, n int, fin bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.flow.queued += n
	p.flow.fin = p.flow.fin || fin
	if p.flow.next == nil {
		if now := time.Now(); l.turn == nil && l.freeAt().Before(now) {
			l.since, l.sent = now, 0
		}
		l.enlist(p)
	}
	l.advance()
}

// drop forgets what p has not sent.
func (l *line) drop(p *pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p.flow.queued, p.flow.fin = 0, false
}

// post lets do happen when a message that is sent now arrives. Messages take
// no bandwidth.
func (l *line) post(do func()) *piece {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := &piece{at: time.Now().Add(l.link.delay(l.rng)), do: do}
	l.launch(m)
	l.advance()
	return m
}

// revoke takes a message back that nobody waits for any more.
func (l *line) revoke(m *piece) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.flight, m); i >= 0 {
		heap.Remove(&l.flight, i)
	}
}

func (l *line) launch(m *piece) {
	l.posted++
	m.seq = l.posted
	heap.Push(&l.flight, m)
}

// freeAt returns when the line has sent what it has begun to send.
func (l *line) freeAt() time.Time { return l.since.Add(l.link.sendTime(l.sent)) }

// enlist puts p at the end of the list.
func (l *line) enlist(p *pipe) {
	if l.turn == nil {
		p.flow.next = p
	} else {
		p.flow.next, l.turn.flow.next = l.turn.flow.next, p
	}
	l.turn = p
}

// delist takes the first pipe out of the list.
func (l *line) delist() *pipe {
	p := l.turn.flow.next
	if p == l.turn {
		l.turn = nil
	} else {
		l.turn.flow.next = p.flow.next
	}
	p.flow.next = nil
	return p
}

// advance sends what may be sent by now and sets the timer for what is next.
func (l *line) advance() {
	if l.active || l.closed || l.blocks != 0 {
		return
	}
	now := time.Now()
	for l.turn != nil && !l.freeAt().After(now) {
		l.sendNext()
	}
	var next time.Time
	if len(l.flight) > 0 {
		next = l.flight[0].at
	}
	if l.turn != nil && (next.IsZero() || l.freeAt().Before(next)) {
		next = l.freeAt()
	}
	switch {
	case next.IsZero():
	case l.timer == nil:
		l.timer = time.AfterFunc(next.Sub(now), l.deliverHandler)
	default:
		l.timer.Reset(next.Sub(now))
	}
}

// sendNext sends a turn's worth of the first pipe in the list.
func (l *line) sendNext() {
	p := l.delist()
	f := &p.flow
	m := &piece{pipe: p, n: min(f.queued, l.link.quantum())}
	f.queued -= m.n
	m.fin = f.fin && f.queued == 0
	if m.n == 0 && !m.fin {
		return // dropped since
	}
	f.fin = f.fin && !m.fin
	if f.queued > 0 {
		l.enlist(p)
	}
	l.sent += int64(m.n)
	m.at = l.freeAt().Add(l.link.delay(l.rng))
	if m.at.Before(f.last) {
		m.at = f.last
	}
	f.last = m.at
	p.flying.Add(1)
	l.launch(m)
}

// deliverHandler runs on the timer's goroutine. It delivers what has arrived
// and ends; line.close waits for it.
func (l *line) deliverHandler() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.active {
		return
	}
	l.active = true
	for !l.closed && l.blocks == 0 {
		now := time.Now()
		for l.turn != nil && !l.freeAt().After(now) {
			l.sendNext()
		}
		if len(l.flight) == 0 || l.flight[0].at.After(now) {
			break
		}
		m := heap.Pop(&l.flight).(*piece)
		l.mu.Unlock()
		l.deliver(m)
		l.mu.Lock()
	}
	l.active = false
	l.rest.Broadcast()
	l.advance()
}

func (l *line) deliver(m *piece) {
	if m.pipe == nil {
		m.do()
		return
	}
	if c := m.pipe.circ; c.admits(m.pipe.to.conn.side) {
		l.carried(m.n)
		m.pipe.arrive(m.n, m.fin)
	}
}

// close ends all delivery and waits for the handler.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	for l.active {
		l.rest.Wait()
	}
	l.flight, l.turn = nil, nil
}
