package session

import (
	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// muxConn is a connection of our own mux, which hands the lane's bytes over
// without a goroutine between.
type muxConn interface {
	laneLink
	laneTrier
	laneLeader
	StartLane(h mux.LaneHandler) bool
	StartBareLane(h mux.LaneHandler) bool
}

// maxWrappers is how many connections around each other are looked through.
const maxWrappers = 32

// findMux returns the connection of our own mux that conn is, or that it wraps
// and lets us see; nil if there is none.
func findMux(conn transport.Conn) (mc muxConn, wrapped bool) {
	for range maxWrappers {
		if mc, ok := conn.(muxConn); ok {
			return mc, wrapped
		}
		w, ok := conn.(transport.ConnWrapper)
		if !ok {
			break
		}
		conn, wrapped = w.Unwrap(), true
	}
	return nil, false
}

// startMuxLane starts the lane of our own mux. It returns false if there is
// none, or it cannot be had any more as the connection was in use before: then
// the lane is a stream, as on any other transport.
//
// The two ends need not find the same. If this one accepted, and the other one
// does not see its mux, the lane is the first stream that comes (see onStream).
// If the other one accepted, its mux presents our lane as a stream.
func (s *Session) startMuxLane() bool {
	mc, wrapped := findMux(s.conn)
	if mc == nil {
		return false
	}
	start := mc.StartLane
	if wrapped {
		start = mc.StartBareLane // the wrapper sees all streams
	}
	// What comes is handled from start on.
	s.link, s.try = mc, mc
	if !wrapped {
		s.lead = mc // else AcceptStream waits for what comes
	}
	s.pushed, s.accepting = !wrapped, wrapped && !s.dialed
	if !start(&muxLane{s: s}) {
		s.link, s.try, s.lead = nil, nil, nil
		s.pushed, s.accepting = false, false
		return false
	}
	if s.accepting {
		s.loops.Go(s.acceptLoop)
	}
	return true
}

// A muxLane takes what comes on a connection of our own mux. It runs on the
// connection's reader.
type muxLane struct {
	s     *Session
	owner bool // the lane is here, and no stream
}

// LaneData implements [mux.LaneHandler].
func (l *muxLane) LaneData(p []byte) error {
	if !l.owner {
		if !l.s.claimed.CompareAndSwap(false, true) {
			return &transport.ConnError{Code: kith.InvalidArgument, Reason: "lane: data beside the stream that is the lane"}
		}
		l.owner = true
	}
	return l.s.LaneData(p)
}

// LaneLed implements [mux.LaneHandler].
func (l *muxLane) LaneLed(p []byte) (taken bool, err error) { return l.s.LaneLed(p) }

// LaneStream implements [mux.LaneHandler].
func (l *muxLane) LaneStream(st *mux.Stream) {
	if l.owner { // else what was read is laneLoop's
		l.s.read.lone.served()
	}
	l.s.onStream(st)
}

// LaneEnd implements [mux.LaneHandler].
func (l *muxLane) LaneEnd() {
	if l.s.pushed {
		l.s.onConnEnd()
	}
}

// adoptLane makes a stream the lane, of a side that does not see its mux.
func (s *Session) adoptLane(st transport.Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.dead != nil {
		st.Reset(kith.Canceled)
		return
	}
	s.link, s.try, s.lead = streamLink{st}, nil, nil
	s.loops.Go(func() { s.laneLoop(st) })
}
