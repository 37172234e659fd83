package memory

import (
	"sync"
	"sync/atomic"

	"github.com/kith-go/kith/transport"
)

// A circuit is what the two ends of a connection share: the open streams, and
// whether anything still passes between the ends.
type circuit struct {
	net     *Network
	ends    [2]conn
	severed atomic.Bool     // nothing that is sent arrives any more
	spare   [2]atomic.Int64 // what the pipes towards each end may borrow

	mu    sync.Mutex
	open  *duplex // a doubly linked list
	count int     // of open
}

// shaped reports whether what is sent over l has to go through l, rather than
// straight to the other end.
func (c *circuit) shaped(l *line) bool { return l.shaped.Load() || c.severed.Load() }

// admits reports whether something that the line has brought to an end is to
// be delivered there. An end that crashed answers with a reset, as the
// operating system of a restarted host does.
func (c *circuit) admits(end int) bool {
	if !c.severed.Load() {
		return true
	}
	if c.ends[end].crashed.Load() {
		peer := &c.ends[end^1]
		c.ends[end].out.post(func() { peer.fail(lost(errReset)) })
	}
	return false
}

// announce hands a stream that the other side has opened to AcceptStream.
func (c *circuit) announce(s *stream) { s.conn.accepts.put(s) }

// add links d into the open streams. The caller holds mu.
func (c *circuit) add(d *duplex) {
	d.next = c.open
	if c.open != nil {
		c.open.prev = d
	}
	c.open = d
	c.count++
}

// finished notes that one more end of d is done.
func (c *circuit) finished(d *duplex) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.finished++; d.finished < 2 {
		return
	}
	if d.prev != nil {
		d.prev.next = d.next
	} else if c.open == d {
		c.open = d.next
	}
	if d.next != nil {
		d.next.prev = d.prev
	}
	d.prev, d.next = nil, nil
	c.count--
}

// freeSlot gives the slot of a stream back to the end that opened it.
func (c *circuit) freeSlot(s *stream) {
	c.mu.Lock()
	s.conn.slots--
	c.mu.Unlock()
	notify(s.conn.slotFree)
}

// end marks one end as ended by err, and returns the streams to end with it,
// and whether it was the last. It returns false if that end had ended before.
func (c *circuit) end(side int, err *transport.ConnError) (open []*duplex, last, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ends[side].ended.CompareAndSwap(nil, err) {
		return nil, false, false
	}
	return c.duplexes(), c.ends[side^1].ended.Load() != nil, true
}

// duplexes returns the open streams. The caller holds mu.
func (c *circuit) duplexes() []*duplex {
	open := make([]*duplex, 0, c.count)
	for d := c.open; d != nil; d = d.next {
		open = append(open, d)
	}
	return open
}
