package client

import (
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

// A State is what a [Client] is about.
type State int

// The states of a Client.
const (
	Idle       State = iota // no connection, and none wanted
	Connecting              // an attempt is under way, or about to begin
	Connected               // a server has admitted this side
	Waiting                 // all addresses have failed, and the next attempt is due later
	Closed                  // closed, or shutting down
)

// String returns the state's name in lower case.
func (s State) String() string {
	names := [...]string{"idle", "connecting", "connected", "waiting", "closed"}
	if s < 0 || int(s) >= len(names) {
		return "unknown"
	}
	return names[s]
}

// Stats is what a [Client] holds now, and what it has counted since it was
// made. After Close nothing is held.
type Stats struct {
	// State is what the client is about.
	State State
	// Addr is the address, Peer the other side, and RTT the last measured
	// round-trip time of the connection that calls go out on; zero if there is
	// none. Peer must not be changed.
	Addr transport.Addr
	Peer *kith.Peer
	RTT  time.Duration
	// Conns is the number of open connections: one, and those that drain.
	Conns int
	// Streams is the number of streaming calls that this side has open. One that
	// only grows is a program that does not Close what it has opened.
	Streams int
	// Waiters is the number of calls that wait for a connection.
	Waiters int
	// Dials counts attempts to connect to one address, Failures those of them
	// that failed.
	Dials, Failures uint64
	// Drops counts connections that were lost, not closed by this side and not
	// drained.
	Drops uint64
	// Retries counts calls that were tried again.
	Retries uint64
	// LastErr is why there is no connection, nil while there is one or nothing
	// has failed.
	LastErr error
}

// Stats returns a snapshot.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	s := Stats{
		State: c.stateLocked(), Conns: len(c.conns), Waiters: c.waiting,
		Dials: c.dials, Failures: c.failed, Drops: c.drops, Retries: c.retries.Load(),
	}
	if c.last != nil {
		s.LastErr = c.last
	}
	for cn := range c.conns {
		s.Streams += cn.s.OpenStreams() // its lock is taken inside of mu
	}
	cn := c.currentLocked()
	c.mu.Unlock()
	if cn != nil {
		s.Addr, s.Peer, s.RTT = cn.addr, cn.s.Peer(), cn.s.RTT()
	}
	return s
}

func (c *Client) stateLocked() State {
	switch {
	case c.closing:
		return Closed
	case c.currentLocked() != nil:
		return Connected
	case c.last != nil && time.Until(c.hold) > 0:
		return Waiting
	case c.running:
		return Connecting
	}
	return Idle
}

// Peer returns who the other side of the present connection is, nil while
// there is none. The result must not be changed.
func (c *Client) Peer() *kith.Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cn := c.currentLocked(); cn != nil {
		return cn.s.Peer()
	}
	return nil
}

// currentLocked returns the conn whose server has admitted this side, nil if
// there is none. A call may have been answered on one that is not live yet.
func (c *Client) currentLocked() *conn {
	if cn := c.live.Load(); cn != nil {
		return cn
	}
	if c.early != nil && c.early.s.Admitted() {
		return c.early
	}
	return nil
}
