package session

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

// outbox is the calls that this side makes. It is guarded by Session.mu.
type outbox struct {
	dead    *transport.ConnError // why the session ended, nil while it lives
	refusal error                // the other side did not admit this one
	live    bool                 // hello is over
	early   bool                 // calls may follow hello before it is over
	sent    int                  // bytes appended before hello was over

	slots   []*outCall // by the low bits of the id; nil where free
	free    []int      // free slots below len(slots)
	max     int        // how many lane calls may be open
	open    int        // lane calls whose outcome has not come
	made    uint64     // lane calls ever made
	seq     uint64     // the high bits of ids
	waiting fifo       // those who wait for a slot, or for hello

	streams  int    // stream calls whose outcome has not come
	streamNo uint64 // stream calls ever made
	unopened uint64 // those of them that got no stream
	opening  int    // those that wait for one
	draining bool   // the other side takes no further call
	onDrain  func() // runs when draining comes; nil for nothing
	doneSent bool
	idle     chan struct{} // closed when no call is open; nil while nobody waits
}

// outCall is one lane call. Once it has a slot, its outcome is delivered to
// done exactly once, unless the caller has gone: then the reader frees it.
type outCall struct {
	id     uint64
	method *kith.Method
	slot   int
	done   chan struct{} // cap 1; sent to by whoever took the call out of its slot
	outcome

	taken     bool             // out of its slot: the outcome is being delivered; guarded by mu
	abandoned bool             // nobody waits; guarded by mu
	reply     transport.Stream // a large answer is being read from it; guarded by mu
}

// outcome is how a call ended.
type outcome struct {
	body    []byte
	trailer kith.Metadata
	err     error
}

func (c *outCall) what() string { return "call " + c.method.Name() }

// deliver gives the call its outcome. c was taken out of its slot before.
func (c *outCall) deliver(o outcome) {
	if c.abandoned {
		return
	}
	c.outcome = o
	c.done <- struct{}{} // never blocks: sent once per call
}

// callPool holds calls whose outcome was taken. Each session has its own: the
// channels of a synctest bubble must not leave it.
type callPool struct{ p sync.Pool }

func (p *callPool) get() *outCall {
	if c, ok := p.p.Get().(*outCall); ok {
		return c
	}
	return &outCall{done: make(chan struct{}, 1)}
}

func (p *callPool) put(c *outCall) {
	*c = outCall{done: c.done}
	p.p.Put(c)
}

// idGap makes ids that cannot be guessed: who answers has read the call, which
// mux.Conn.TryLane relies on.
const idGap = 1 << 8

// place gives c a slot and an id. There is one free.
func (o *outbox) place(c *outCall) {
	if n := len(o.free); n > 0 {
		c.slot = o.free[n-1]
		o.free = o.free[:n-1]
	} else {
		c.slot = len(o.slots)
		o.slots = append(o.slots, nil)
	}
	o.slots[c.slot] = c
	o.open++
	o.made++
	o.seq += 1 + rand.Uint64N(idGap)
	c.id = o.seq<<wire.SlotBits | uint64(c.slot)
}

// at finds an open call, nil if there is none of that id.
func (o *outbox) at(id uint64) *outCall {
	slot := int(id & (wire.MaxLaneCalls - 1))
	if slot < len(o.slots) && o.slots[slot] != nil && o.slots[slot].id == id {
		return o.slots[slot]
	}
	return nil
}

// take takes a call out of its slot, to deliver its outcome.
func (o *outbox) take(c *outCall) {
	o.slots[c.slot] = nil
	o.free = append(o.free, c.slot)
	o.open--
	c.taken = true
	o.waiting.wake(1)
}

func (o *outbox) takeAll() []*outCall {
	var all []*outCall
	for _, c := range o.slots {
		if c != nil {
			o.take(c)
			all = append(all, c)
		}
	}
	return all
}

// wakeAllLocked lets everyone who waits look again.
func (s *Session) wakeAllLocked() {
	s.out.waiting.wake(math.MaxInt)
	s.lane.waiting.wake(math.MaxInt)
}

// Invoke implements [kith.Caller].
func (s *Session) Invoke(ctx context.Context, r kith.Request) ([]byte, error) {
	md, err := s.checkRequest(ctx, &r)
	if err != nil {
		return nil, err
	}
	if t := r.Method.Timeout(); t > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t)
		defer cancel()
	}
	head := laneCallOverhead + len(r.Method.Name()) + len(r.Codec.Name()) + len(md)
	if head+len(r.Body) > wire.MaxLane || r.Method.Isolated() {
		return s.invokeStream(ctx, r, md)
	}
	return s.invokeLane(ctx, r, md, head+len(r.Body))
}

// laneCallOverhead is the most that a call's frame has beside its names, its
// metadata and its message: header, id, flags, lengths, time left.
const laneCallOverhead = wire.LaneHeader + 10 + 1 + 2 + 1 + 3 + 10

// checkRequest refuses what must not be sent, and encodes the metadata.
func (s *Session) checkRequest(ctx context.Context, r *kith.Request) (md []byte, err error) {
	if ctx.Err() != nil {
		return nil, gaveUp(ctx, "call "+r.Method.Name(), true)
	}
	if n := len(r.Codec.Name()); n == 0 || n > 32 {
		return nil, fmt.Errorf("call %s: codec name %.40q: want 1 to 32 bytes", r.Method.Name(), r.Codec.Name())
	}
	if err := s.checkSize(r.Method, len(r.Body)); err != nil {
		return nil, err
	}
	if len(r.Metadata) > 0 {
		if md, err = wire.AppendMetadata(nil, r.Metadata); err != nil {
			return nil, kith.NewError(kith.InvalidArgument, "bad_metadata", err.Error())
		}
	}
	return md, nil
}

// limit returns the limit of m's messages here. Where none is set, it is what
// a frame can say.
func (s *Session) limit(m *kith.Method) int {
	n := m.MaxMessage()
	if n == 0 {
		n = s.cfg.MaxMessage
	}
	if n < 0 {
		n = math.MaxInt32
	}
	return min(n, math.MaxInt32)
}

// checkSize compares a message to be sent with the limits of both sides.
func (s *Session) checkSize(m *kith.Method, size int) error {
	if limit := s.limit(m); size > limit {
		return tooLarge(size, limit, "this side's")
	}
	select {
	case <-s.ready:
	default:
		return nil // hello is not over: the other side judges
	}
	if m.MaxMessage() == 0 && s.remote.MaxMessage >= 0 && size > s.remote.MaxMessage {
		return tooLarge(size, s.remote.MaxMessage, "the other side's")
	}
	return nil
}

func (s *Session) invokeLane(ctx context.Context, r kith.Request, md []byte, size int) ([]byte, error) {
	c := s.calls.get()
	c.method = r.Method
	c.abandoned = r.Method.Kind() == kith.KindNotify
	s.mu.Lock()
	if err := s.waitLocked(ctx, r.Method, size, true); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	s.out.place(c)
	left := timeLeft(ctx)
	s.appendCallLocked(c, &r, left, md, size)
	s.sendLocked(false)
	if r.Method.Kind() == kith.KindNotify {
		return nil, nil
	}
	s.leadFor(c, left)
	select {
	case <-c.done:
	case <-ctx.Done():
		if s.abandon(c) { // c belongs to the reader now
			return nil, gaveUp(ctx, "call "+r.Method.Name(), false)
		}
		<-c.done // the outcome is on its way from the goroutine that took it
	}
	o := c.outcome
	s.calls.put(c)
	if r.Trailer != nil {
		*r.Trailer = o.trailer
	}
	return o.body, o.err
}

// appendCallLocked appends the frame of a call, which takes up to size bytes.
func (s *Session) appendCallLocked(c *outCall, r *kith.Request, left time.Duration, md []byte, size int) {
	b := s.lane.bytes(size)
	start := len(*b)
	dst := appendUvarint(wire.AppendLane(*b, wire.FrameCall), c.id)
	dst = wire.AppendHead(dst, r.Method.Kind(), r.Method.Name(), r.Codec.Name(), left, md)
	*b = wire.EndLane(append(dst, r.Body...), start)
	if !s.out.live {
		s.out.sent += len(*b) - start
	}
	s.lane.frames++
	s.activeLocked()
}

// timeLeft returns the time until ctx's deadline, 0 if it has none.
func timeLeft(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return max(1, time.Until(d))
	}
	return 0
}

// waitLocked waits until a frame of n bytes may be appended: hello is over or
// need not be, there is room, and, for a call, a slot. It is called with mu
// held, and returns so. An error means that nothing was sent.
func (s *Session) waitLocked(ctx context.Context, m *kith.Method, n int, call bool) error {
	front := false // it has waited, and goes before those who come now
	turn := false  // it was woken for a slot, which is nobody else's then
	for {
		if err := s.refusedLocked(m); err != nil {
			return err
		}
		q, room := &s.lane.waiting, n
		switch {
		case !s.out.live && !(s.out.early && s.out.sent+n <= wire.MaxHello):
			q, room = &s.out.waiting, 1
		case call && (s.out.open >= s.out.max || len(s.out.waiting.q) > 0 && !front):
			q, room = &s.out.waiting, 1
		case !s.lane.hasRoom(n):
		default:
			return nil
		}
		w := q.add(room)
		s.mu.Unlock()
		s.readOn() // what makes room has to be read
		select {
		case <-w.ch:
			s.mu.Lock()
			front, turn = true, turn || q == &s.out.waiting
		case <-ctx.Done():
			s.mu.Lock()
			q.remove(w)
			if turn && q != &s.out.waiting {
				s.out.waiting.wake(1)
			}
			return gaveUp(ctx, "call "+m.Name(), true)
		}
	}
}

// refusedLocked says why no call may be made, nil if one may.
func (s *Session) refusedLocked(m *kith.Method) error {
	switch {
	case s.out.refusal != nil:
		return s.out.refusal
	case s.out.dead != nil:
		return s.lost("call "+m.Name(), s.out.dead, true)
	case s.out.draining:
		return &Failure{code: kith.Unavailable, what: "call " + m.Name(), cause: errDraining, unprocessed: true}
	}
	return nil
}

// abandon gives up c, and reports false if its outcome is being delivered. The
// slot stays taken until the other side has answered, since its handler runs
// until then.
func (s *Session) abandon(c *outCall) bool {
	s.mu.Lock()
	if c.taken {
		s.mu.Unlock()
		return false
	}
	c.abandoned = true
	reply := c.reply
	s.appendNumberLocked(wire.FrameCancel, c.id)
	s.mu.Unlock()
	if reply != nil {
		reply.Reset(kith.Canceled)
	}
	return true
}

// finishCall takes the call of an outcome that came out of its slot. Nil means
// that nobody waits for it.
func (s *Session) finishCall(id uint64) (c *outCall, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finishCallLocked(id)
}

func (s *Session) finishCallLocked(id uint64) (c *outCall, err error) {
	c = s.out.at(id)
	if c == nil {
		if s.out.dead != nil {
			return nil, nil
		}
		return nil, fmt.Errorf("outcome of call %d, which is not open", id)
	}
	s.out.take(c)
	s.maybeDoneLocked()
	if c.abandoned {
		s.calls.put(c)
		return nil, nil
	}
	return c, nil
}
