package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

// inCall is one call being served. It is the handler's ctx, its messages, and
// what the functions of package kith find in the ctx: one allocation for all.
type inCall struct {
	callCtx

	s        *Session
	id       uint64        // of a lane call, or the number of a stream call
	began    time.Duration // when it came, since Session.base
	method   *kith.Method
	run      kith.Handler
	codec    kith.Codec
	metadata kith.Metadata
	lane     bool
	bulk     int64        // as how many more calls it counts, for its size
	buf      *callBuffers // of a lane call, until it ends
	stream   *inStream    // of a stream call; and of a lane call whose answer is large

	received bool // the only request was taken
	answered bool // the only answer was given

	begun     bool // a worker runs its handler; guarded by Workers.mu
	abandoned bool // its ctx ended before its handler did; set by who runs that

	trailer []byte // encoded; guarded by callCtx.mu
}

// callBuffers are the bytes of a lane call: what came, and what goes. And its place
// in a queue: of those that wait for a worker, or whose outcomes wait to be sent.
type callBuffers struct {
	req, resp []byte
	fail      wire.Fail // the outcome, of which an answer has only the trailer
	failed    bool
	size      int     // how much room the outcome takes
	next      *inCall // the neighbour in the queue, which guards it
}

var callBufferPool = sync.Pool{New: func() any { return new(callBuffers) }}

// onCall begins a call of the lane, or refuses it. It runs on the reader.
func (s *Session) onCall(body []byte) error {
	id, rest, err := wire.SplitNumber(body)
	if err != nil {
		return err
	}
	h, msg, err := wire.ParseHead(rest)
	if err != nil {
		return err
	}
	slot := int(id & (wire.MaxLaneCalls - 1))
	if slot >= s.cfg.MaxLaneCalls {
		return fmt.Errorf("call in slot %d of %d", slot, s.cfg.MaxLaneCalls)
	}
	if s.in.used(id) {
		return fmt.Errorf("call in slot %d, which is in use", slot)
	}
	if n := len(h.Metadata) - freeMetadata; n > 0 {
		s.read.pace.Add(n / metadataCost)
	}
	bulk := bulkOf(len(body) + len(h.Metadata)) // which costs to parse, too
	s.chargeReading(bulk)
	c, refusal := s.newInCall(id, h, s.read.now)
	if refusal != nil {
		return s.refuseCall(id, refusal)
	}
	if k := c.method.Kind(); k != kith.KindUnary && k != kith.KindNotify {
		return fmt.Errorf("%v call on the lane", k)
	}
	c.lane = true
	s.read.lone.served()
	if limit := s.limit(c.method); len(msg) > limit {
		return s.refuseCall(id, tooLarge(len(msg), limit, "the other side's").Refusal())
	}
	c.bulk = bulk
	running := s.in.claim(c)
	s.calledUpon(running)
	c.buf = callBufferPool.Get().(*callBuffers)
	c.buf.req, c.buf.resp = append(c.buf.req[:0], msg...), c.buf.resp[:0]
	if !s.startCall(c, running) {
		c.putBuffers()
		s.in.free(c)
		return s.refuseCall(id, errBusy)
	}
	return nil
}

const (
	// freeMetadata is how much metadata a call may have without the reader's
	// resting for it, metadataCost how many bytes of what is beyond count as one
	// frame: to parse as much as there may be takes as long as dozens of calls.
	freeMetadata = 1 << 10
	metadataCost = 32
	// refusalCost is how many frames a refused call counts as: it takes no turn. It costs
	// about as much as eight, but who has 32 calls refused in a millisecond, and goes on,
	// gains nothing if the next ones are refused at once.
	refusalCost = 32
	// freeBulk is how large a call is without counting as more than one call in
	// flight, for who is to rest; bulkSize how many bytes beyond count as one more.
	freeBulk = 4 << 10
	bulkSize = 96
)

// bulkOf returns as how many more calls one counts, for its size.
func bulkOf(size int) int64 { return int64(max(size-freeBulk, 0) / bulkSize) }

var errBusy = kith.NewError(kith.ResourceExhausted, "too_many_calls", "too many calls in flight here").Refusal()

// newInCall resolves what is called. Access checks, the limits and dispatch
// all use the one method value found here.
func (s *Session) newInCall(id uint64, h wire.Head, now time.Time) (*inCall, *kith.Error) {
	m, run, ok := s.cfg.Handlers.Lookup(h.Method)
	if !ok || s.cfg.Workers == nil {
		return nil, kith.NewError(kith.Unimplemented, "unknown_method", fmt.Sprintf("no method %q here", h.Method)).Refusal()
	}
	if m.Kind() != h.Kind {
		return nil, kith.NewError(kith.Unimplemented, "wrong_kind",
			fmt.Sprintf("method %s is %v here, and was called as %v", m.Name(), m.Kind(), h.Kind)).Refusal()
	}
	codec := s.cfg.codec(h.Codec)
	if codec == nil {
		return nil, kith.NewError(kith.Unimplemented, "unknown_codec",
			fmt.Sprintf("no codec %q here, have raw, json%s", h.Codec, s.cfg.codecNames())).Refusal()
	}
	md, err := wire.ParseMetadata(h.Metadata)
	if err != nil {
		return nil, kith.NewError(kith.InvalidArgument, "bad_metadata", err.Error()).Refusal()
	}
	c := &inCall{s: s, id: id, began: now.Sub(s.base), method: m, run: run, codec: codec, metadata: md}
	if h.Timeout > 0 {
		c.deadline = now.Add(h.Timeout)
	}
	return c, nil
}

func (c *Config) codecNames() string {
	var b strings.Builder
	for _, k := range c.Codecs {
		b.WriteString(", " + k.Name())
	}
	return b.String()
}

// refuseCall answers a call that no handler saw. A refusal must not wait for
// room, as it is made by the reader. But until it is sent the other side's slot
// is in use: more of them than slots is a violation, by one that calls and does
// not read.
func (s *Session) refuseCall(id uint64, e *kith.Error) error {
	f := wire.FailOf(e)
	s.read.pace.Add(refusalCost)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lane.refusals++; s.lane.refusals > s.cfg.MaxLaneCalls {
		return fmt.Errorf("more than %d calls whose refusals were not read", s.cfg.MaxLaneCalls)
	}
	s.appendFailLocked(id, &f)
	return nil
}

func (s *Session) appendFailLocked(id uint64, f *wire.Fail) {
	s.appendLocked(func(dst []byte) []byte {
		start := len(dst)
		return wire.EndLane(f.Append(appendUvarint(wire.AppendLane(dst, wire.FrameFail), id)), start)
	})
}

// onCancel cancels the ctx of a handler. A call that has ended is not there
// any more; a stream call may not be there yet.
func (s *Session) onCancel(t wire.FrameType, body []byte) error {
	id, err := wire.ParseNumber(body)
	if err != nil {
		return err
	}
	var c *inCall
	if t == wire.FrameCancel {
		if slot := s.in.slot(id); slot != nil {
			c = slot.Load()
		}
		if c != nil && c.id != id {
			c = nil
		}
	} else {
		s.in.mu.Lock()
		if c = s.in.streams[id]; c == nil && id >= s.in.oldest(id) {
			s.in.cancelFirst(id)
		}
		s.in.mu.Unlock()
	}
	if c == nil { // it may have ended just now, but not so often
		s.read.pace.Add(1)
		return nil
	}
	c.abort()
	return nil
}

// abort carries out the caller's cancel: the handler's ctx ends, and what it
// reads or writes is unblocked. It does not reset the stream, whose place would
// be free then while the handler runs: who opens and cancels streams could have
// more handlers at work than the limit of streams.
func (c *inCall) abort() {
	c.cancel()
	if c.isStream() {
		_ = c.stream.st.SetReadDeadline(longAgo)
		_ = c.stream.st.SetWriteDeadline(longAgo)
	}
}

func (c *inCall) isStream() bool { return !c.lane }

// Recv implements [kith.Messages].
func (c *inCall) Recv() ([]byte, error) {
	if c.isStream() {
		return c.stream.recv(c)
	}
	if c.received || c.buf == nil {
		return nil, io.EOF
	}
	c.received = true
	return c.buf.req, nil
}

// Send implements [kith.Messages].
func (c *inCall) Send(p []byte) error {
	if err := c.s.checkSize(c.method, len(p)); err != nil {
		return err
	}
	switch k := c.method.Kind(); {
	case k == kith.KindNotify, k != kith.KindServerStream && k != kith.KindBidi && c.answered:
		return errOneAnswer
	}
	c.answered = true
	switch {
	case c.isStream():
		return c.stream.send(c, p)
	case c.buf == nil:
		return errOneAnswer // the handler has returned
	case len(p)+laneAnswerOverhead > wire.MaxLane:
		return c.sendLarge(c, p)
	}
	c.buf.resp = append(c.buf.resp[:0], p...)
	return nil
}

// laneAnswerOverhead is room for an answer's call id and the length of an
// empty trailer.
const laneAnswerOverhead = 16

var errOneAnswer = errors.New("this kind of method gives no further answer")

// CloseSend implements [kith.Messages]. The other side sees the end of the
// messages together with the outcome.
func (c *inCall) CloseSend() error { return nil }

// sendLarge answers a lane call by a stream. The end of ctx ends the waiting for
// that.
func (c *inCall) sendLarge(ctx context.Context, p []byte) error {
	st, err := c.s.conn.OpenStream(ctx)
	if err != nil {
		return c.s.failure("answer "+c.method.Name(), err, false)
	}
	c.stream = &inStream{frames: frames{st: st}}
	start := wire.AppendStream(nil, wire.StreamReply)
	start = wire.EndStream(appendUvarint(start, c.id), 0)
	return c.stream.sendAfter(c, start, p)
}

// Call implements [kith.Inbound].
func (c *inCall) Call() kith.Call {
	return kith.Call{Method: c.method, Metadata: c.metadata, Codec: c.codec, Peer: c.s.peer, Messages: c}
}

// Caller implements [kith.Inbound].
func (c *inCall) Caller() kith.Caller { return c.s }

// SetTrailer implements [kith.Inbound].
func (c *inCall) SetTrailer(md kith.Metadata) error {
	enc, err := wire.AppendMetadata(nil, md)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.trailer = enc
	c.mu.Unlock()
	return nil
}

// Draining implements [kith.Inbound].
func (c *inCall) Draining() <-chan struct{} {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.s.drain.fired()
}

func (c *inCall) putBuffers() {
	b := c.buf
	c.buf = nil
	b.fail = wire.Fail{}
	if cap(b.req)+cap(b.resp) <= 4*wire.MaxLane {
		callBufferPool.Put(b)
	}
}
