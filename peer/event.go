package peer

import (
	"fmt"
	"time"

	"github.com/kith-go/kith"
)

// An Event is a change in what a node knows of a peer. A watcher that is slow gets
// the latest state of each peer, not each step: Up may come without Found before it.
type Event struct {
	Kind Kind // what changed
	Info Info // after the change
}

// A Kind says what changed.
type Kind int

// The kinds of change.
const (
	Found   Kind = iota + 1 // discovery, or the memory of an earlier run, knows it; not connected
	Up                      // connected: identity proved, both sides admitted
	Changed                 // of an Up peer: its connection, name or methods; of another: its addresses
	Down                    // the connection is lost: Info.Err says why; tried again as long as it is known
	Gone                    // neither connected nor known to discovery any more
)

// String implements [fmt.Stringer].
func (k Kind) String() string {
	switch k {
	case Found:
		return "Found"
	case Up:
		return "Up"
	case Changed:
		return "Changed"
	case Down:
		return "Down"
	case Gone:
		return "Gone"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

// An Info is what a node knows of a peer at one moment. Its slices are the receiver's.
type Info struct {
	ID      kith.ID   // proved by its connections
	Name    string    // what it calls itself, empty until it was Up once
	Up      bool      // connected now
	Since   time.Time // when Up became what it is
	Addr    string    // where it is connected to or from, empty unless Up
	Dialed  bool      // this side dialled the connection
	Addrs   []string  // where it may be reached, as discovery and memory say
	Methods []string  // what it offers, in order; known once it was Up
	Err     error     // why it is not Up, if it was or was tried; nil if Up
}
