package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

// laneReader puts frames together that came in pieces. It belongs to the
// goroutine that reads the lane.
type laneReader struct {
	part  []byte    // the beginning of a frame; nil while there is none
	hello bool      // the other side's first frame has come
	now   time.Time // when the bytes being read came
	// frames is how many were taken of those bytes since the reader let others run.
	frames int
	pace   mux.Pace
	spent  time.Duration // on large calls since it last rested for them, while others had calls
	lone   lone
	quick  quick

	proof   []byte  // what the accepting side presents
	pairing Pairing // what its welcome says
	refused bool    // one side does not admit the other: what follows is skipped
}

// LaneData takes the lane's next bytes. It runs on the connection's reader:
// it never waits for a writer, a caller or a handler, but for a moment on busy
// processors (see [afterFlush]), and lets them run where there is much to take (see
// [Session.endFrame]). An error closes the connection.
func (s *Session) LaneData(p []byte) error {
	if err := s.hear(p); err != nil {
		return err
	}
	if s.in.running.Load() > 0 && !s.read.quick.kept {
		s.after.wait()
	}
	return nil
}

// LaneLed takes p if it is the outcome of one call. It runs on a caller (see
// [Session.leadFor]), which is not to rest, or to work, for what the other side sends
// beyond that.
func (s *Session) LaneLed(p []byte) (taken bool, err error) {
	t, _, n, _, err := wire.NextLane(p)
	if err != nil || n != len(p) || len(s.read.part) > 0 || t != wire.FrameAnswer && t != wire.FrameFail {
		return false, nil
	}
	return true, s.hear(p)
}

// hear takes the lane's next bytes.
func (s *Session) hear(p []byte) error {
	s.read.now = time.Now()
	s.read.quick.kept = false
	s.heard.Store(int64(s.read.now.Sub(s.base)))
	if err := s.feed(p); err != nil {
		return &transport.ConnError{Code: kith.InvalidArgument, Reason: "lane: " + err.Error()}
	}
	return nil
}

func (s *Session) feed(p []byte) error {
	r := &s.read
	r.frames = 0
	if r.refused {
		return nil
	}
	for len(r.part) > 0 && len(p) > 0 {
		// Complete the frame that is begun, and no more than that.
		_, _, _, need, err := wire.NextLane(r.part)
		if err != nil {
			return err
		}
		if !r.hello && need > wire.LaneHeader+wire.MaxHello {
			return fmt.Errorf("hello of %d bytes, at most %d", need-wire.LaneHeader, wire.MaxHello)
		}
		k := min(need-len(r.part), len(p))
		r.part = append(r.part, p[:k]...)
		p = p[k:]
		t, body, n, _, err := wire.NextLane(r.part)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := s.onFrame(t, body); err != nil {
				return err
			}
			r.part = r.part[:0]
		}
	}
	if len(r.part) > 0 {
		return nil // the rest is yet to come
	}
	for len(p) > 0 && !r.refused {
		t, body, n, need, err := wire.NextLane(p)
		if err != nil {
			return err
		}
		if n == 0 {
			if !r.hello && need > wire.LaneHeader+wire.MaxHello {
				return fmt.Errorf("hello of %d bytes, at most %d", need-wire.LaneHeader, wire.MaxHello)
			}
			// No more than twice what has come is claimed on the word of a header.
			r.part = append(slices.Grow(r.part[:0], min(need, 2*len(p))), p...)
			return nil
		}
		if err := s.onFrame(t, body); err != nil {
			return err
		}
		if p = p[n:]; len(p) > 0 {
			s.endFrame()
		}
	}
	r.part = nil
	return nil
}

// onFrame carries out one frame of the lane.
func (s *Session) onFrame(t wire.FrameType, body []byte) error {
	if !s.read.hello {
		s.read.hello = true
		return s.onHello(t, body)
	}
	switch t {
	case wire.FrameCall:
		return s.onCall(body)
	case wire.FrameAnswer:
		return s.onAnswer(body)
	case wire.FrameFail:
		return s.onFail(body)
	case wire.FrameCancel, wire.FrameCancelStream:
		return s.onCancel(t, body)
	case wire.FramePing, wire.FramePong:
		return s.onPing(t, body)
	case wire.FrameDrain, wire.FrameDrainAck, wire.FrameDone:
		return s.onDrain(t, body)
	}
	if t.Ignorable() {
		s.read.pace.Add(1)
		return nil
	}
	return fmt.Errorf("frame of type %d", t)
}

func (s *Session) onAnswer(body []byte) error {
	id, rest, err := wire.SplitNumber(body)
	if err != nil {
		return err
	}
	trailer, msg, err := wire.ParseTrailer(rest)
	if err != nil {
		return err
	}
	md, err := wire.ParseMetadata(trailer)
	if err != nil {
		return err
	}
	c, err := s.finishRead(id)
	if c == nil {
		return err
	}
	o := outcome{trailer: md}
	if limit := s.limit(c.method); len(msg) > limit {
		o.err = tooLarge(len(msg), limit, "this side's")
	} else {
		o.body = append(make([]byte, 0, len(msg)), msg...)
	}
	c.deliver(o)
	return nil
}

func (s *Session) onFail(body []byte) error {
	id, rest, err := wire.SplitNumber(body)
	if err != nil {
		return err
	}
	o, err := failOutcome(rest)
	if err != nil {
		return err
	}
	c, err := s.finishRead(id)
	if c == nil {
		return err
	}
	c.deliver(o)
	return nil
}

func failOutcome(body []byte) (outcome, error) {
	f, err := wire.ParseFail(body)
	if err != nil {
		return outcome{}, err
	}
	md, err := wire.ParseMetadata(f.Trailer)
	return outcome{err: f.Err(), trailer: md}, err
}

const (
	laneIdleRead = 1 << 10  // what a parked laneLoop holds
	laneBusyRead = 32 << 10 // what it reads with while frames come fast
)

var laneReads = sync.Pool{New: func() any { return new([laneBusyRead]byte) }}

// laneLoop reads the lane from a stream, where it is one.
// It ends with the connection; Close waits for it.
func (s *Session) laneLoop(st transport.Stream) {
	var small [laneIdleRead]byte
	var big *[laneBusyRead]byte
	defer func() {
		if big != nil {
			laneReads.Put(big)
		}
		_ = st.Close()
	}()
	for {
		buf := small[:]
		if big != nil {
			buf = big[:]
		}
		n, err := st.Read(buf)
		if n > 0 {
			if err := s.LaneData(buf[:n]); err != nil {
				ce := err.(*transport.ConnError)
				s.end(ce)
				go s.killHandler(ce.Code, ce.Reason)
				return
			}
		}
		if err != nil {
			if !s.connEnded(err) {
				go s.killHandler(kith.Unavailable, "lane ended")
			}
			return
		}
		switch {
		case big == nil && n == len(buf):
			big = laneReads.Get().(*[laneBusyRead]byte)
		case big != nil && n < laneIdleRead:
			laneReads.Put(big)
			big = nil
		}
	}
}

// connEnded reports whether err, of a stream, says that the connection has
// ended; its Context may not have yet.
func (s *Session) connEnded(err error) bool {
	ce, ok := errors.AsType[*transport.ConnError](err)
	if ok {
		s.end(ce)
	}
	return ok || s.conn.Context().Err() != nil
}

// killHandler ends the connection for a loop that the connection's end waits
// for. It ends by itself, soon; nobody waits for it.
func (s *Session) killHandler(code kith.Code, reason string) { s.kill(code, reason) }

// acceptLoop accepts the other side's streams, where the connection's reader
// does not hand them over. It ends with the connection; Close waits for it.
func (s *Session) acceptLoop() {
	for {
		st, err := s.conn.AcceptStream(s.conn.Context())
		if err != nil {
			return
		}
		s.onStream(st)
	}
}

// onStream takes a stream that the other side opened. It must not block; a stream that
// has to wait is one of those that may be open. The
// other side opens none before it was admitted, unless that is the lane.
func (s *Session) onStream(st transport.Stream) {
	switch {
	case s.dialed || s.admitted.Load():
		if r, ok := st.(interface{ Stillborn() bool }); ok && r.Stillborn() {
			st.Reset(kith.InvalidArgument) // as streamHandler would
			return
		}
		if w := s.cfg.Workers; w != nil {
			w.startStream(s, st)
		} else {
			go s.streamHandler(st)
		}
	case s.claimed.CompareAndSwap(false, true):
		s.adoptLane(st)
	default:
		st.Reset(kith.Unauthenticated)
		go s.killHandler(kith.Unauthenticated, "stream before hello")
	}
}

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }
