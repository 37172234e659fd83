package session

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
)

// inbox is the calls that this side serves.
type inbox struct {
	running atomic.Int64 // calls in slots and streams

	// slots are the lane calls by the low bits of their id. The reader puts
	// calls in, whoever ends a call takes it out.
	slots [wire.MaxLaneCalls / slotChunk]atomic.Pointer[[slotChunk]atomic.Pointer[inCall]]

	ended atomic.Bool // set before the calls there are cancelled

	mu        sync.Mutex
	streams   map[uint64]*inCall  // stream calls by number; guarded by mu
	cancelled map[uint64]struct{} // stream calls cancelled before they came; guarded by mu
}

// slotChunk is how many slots are made at once, as calls need them.
const slotChunk = 256

// slot returns the place of a lane call, nil if none was ever that high.
func (in *inbox) slot(id uint64) *atomic.Pointer[inCall] {
	n := id & (wire.MaxLaneCalls - 1)
	if chunk := in.slots[n/slotChunk].Load(); chunk != nil {
		return &chunk[n%slotChunk]
	}
	return nil
}

// all returns the calls being served.
func (in *inbox) all() (calls []*inCall) {
	for i := range in.slots {
		chunk := in.slots[i].Load()
		if chunk == nil {
			continue
		}
		for j := range chunk {
			if c := chunk[j].Load(); c != nil {
				calls = append(calls, c)
			}
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, c := range in.streams {
		calls = append(calls, c)
	}
	return calls
}

// maxCancelled bounds the cancels that are kept for streams yet to come: as
// many as streams can be open.
const maxCancelled = 2048

// inCall is one call being served. It is the handler's ctx, its messages, and
// what the functions of package kith find in the ctx: one allocation for all.
type inCall struct {
	callCtx

	s        *Session
	id       uint64 // of a lane call, or the number of a stream call
	method   *kith.Method
	run      kith.Handler
	codec    kith.Codec
	metadata kith.Metadata
	lane     bool
	buf      *callBuffers // of a lane call, until it ends
	stream   *inStream    // of a stream call; and of a lane call whose answer is large

	received bool // the only request was taken
	answered bool // the only answer was given

	trailer []byte // encoded; guarded by callCtx.mu
}

// callBuffers are the bytes of a lane call: what came, and what goes.
type callBuffers struct{ req, resp []byte }

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
	c, refusal := s.newInCall(id, h, s.read.now)
	if refusal != nil {
		s.refuseCall(id, refusal)
		return nil
	}
	if k := c.method.Kind(); k != kith.KindUnary && k != kith.KindNotify {
		return fmt.Errorf("%v call on the lane", k)
	}
	c.lane = true
	if !s.in.claim(c) {
		return fmt.Errorf("call in slot %d, which is in use", slot)
	}
	if limit := s.limit(c.method); len(msg) > limit {
		s.in.free(c)
		s.refuseCall(id, tooLarge(len(msg), limit, "the other side's").Refusal())
		return nil
	}
	c.buf = callBufferPool.Get().(*callBuffers)
	c.buf.req, c.buf.resp = append(c.buf.req[:0], msg...), c.buf.resp[:0]
	if !s.cfg.Workers.start(c) {
		c.putBuffers()
		s.in.free(c)
		s.refuseCall(id, errBusy)
	}
	return nil
}

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
	c := &inCall{s: s, id: id, method: m, run: run, codec: codec, metadata: md}
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

// refuseCall answers a call that no handler saw. There is at most one refusal
// per call of the other side's, so it needs not wait for room.
func (s *Session) refuseCall(id uint64, e *kith.Error) {
	f := wire.FailOf(e)
	s.mu.Lock()
	s.appendFailLocked(id, &f)
	s.mu.Unlock()
}

func (s *Session) appendFailLocked(id uint64, f *wire.Fail) {
	s.appendLocked(func(dst []byte) []byte {
		start := len(dst)
		return wire.EndLane(f.Append(appendUvarint(wire.AppendLane(dst, wire.FrameFail), id)), start)
	})
}

// claim puts a lane call into its slot, and reports false if it is in use. Only
// the reader calls it.
func (in *inbox) claim(c *inCall) bool {
	slot := in.slot(c.id)
	if slot == nil {
		in.slots[c.id&(wire.MaxLaneCalls-1)/slotChunk].Store(new([slotChunk]atomic.Pointer[inCall]))
		slot = in.slot(c.id)
	}
	if !slot.CompareAndSwap(nil, c) {
		return false
	}
	in.running.Add(1)
	if in.ended.Load() {
		c.cancel() // cancelAll may have looked before
	}
	return true
}

// free ends c's use of its slot or number.
func (in *inbox) free(c *inCall) {
	in.running.Add(-1)
	if !c.isStream() {
		in.slot(c.id).Store(nil)
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.streams, c.id)
}

// claimStream registers a stream call. It reports ok false for a number in use,
// and cancelled if a cancel came first.
func (in *inbox) claimStream(c *inCall) (ok, cancelled bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.streams == nil {
		in.streams = make(map[uint64]*inCall)
	}
	if _, twice := in.streams[c.id]; twice {
		return false, false
	}
	in.streams[c.id] = c
	in.running.Add(1)
	_, cancelled = in.cancelled[c.id]
	delete(in.cancelled, c.id)
	return true, cancelled || in.ended.Load()
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
			s.in.cancelled[id] = struct{}{}
		}
		s.in.mu.Unlock()
	}
	if c != nil {
		c.abort()
	}
	return nil
}

// oldest makes room for one more early cancel and returns the lowest number
// that is worth keeping. It is called with mu held.
func (in *inbox) oldest(id uint64) uint64 {
	if len(in.cancelled) < maxCancelled {
		return 0
	}
	// Those of long ago belong to calls that ended before their cancel came.
	var floor uint64
	if id > maxCancelled/2 {
		floor = id - maxCancelled/2
	}
	for n := range in.cancelled {
		if n < floor || floor == 0 {
			delete(in.cancelled, n)
		}
	}
	return floor
}

// cancelAll cancels the ctx of all handlers as the connection has ended.
func (in *inbox) cancelAll() {
	in.ended.Store(true)
	for _, c := range in.all() {
		c.cancel()
	}
}

// Serving returns the names of the methods whose handlers run for this session.
func (s *Session) Serving() []string {
	var names []string
	for _, c := range s.in.all() {
		names = append(names, c.method.Name())
	}
	return names
}

// abort carries out the caller's cancel: the handler's ctx ends, and what it
// reads or writes is unblocked.
func (c *inCall) abort() {
	c.cancel()
	if c.isStream() {
		c.stream.st.Reset(kith.Canceled)
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
		return c.sendLarge(p)
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

// sendLarge answers a lane call by a stream.
func (c *inCall) sendLarge(p []byte) error {
	st, err := c.s.conn.OpenStream(c)
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
func (c *inCall) Draining() <-chan struct{} { return c.s.drain }

func (c *inCall) putBuffers() {
	b := c.buf
	c.buf = nil
	if cap(b.req)+cap(b.resp) <= 4*wire.MaxLane {
		callBufferPool.Put(b)
	}
}
