// Package discovery says how nodes find each other: what a node tells about
// itself, who spreads it, and who hears it.
//
// A node signs a [Record] of its identity, its addresses and what it offers. A
// [Discovery] spreads the record and reports the records of others: discovery/mdns
// over multicast on the LAN, discovery/static from a list or a file, and the
// user's own over whatever there is. discovery/discoverytest says whether one
// is right.
//
// A record is a hint and nothing more. Its signature proves that the key's
// holder wrote it once, not that it is where the record says, nor that it may come in: only
// a handshake makes a peer. So what a record costs is bounded: a [Table] keeps at most
// so many, and package peer dials with a budget.
//
// # What a record gives away
//
// Everybody who hears it learns the ID, the addresses, and how many services
// there are. It carries no name of host, user, network or service: networks and
// services appear as a [Tag], which only those who know the [Namespace] can
// compute. Where the namespace is a public name, whoever guesses the name can, too.
package discovery

import (
	"context"
	"errors"
	"fmt"

	"github.com/kith-go/kith"
)

// A Discovery spreads records and hears them. It is safe for concurrent use.
//
// Implementations keep these rules, which package discoverytest checks:
//
//   - Only a record that [Open] accepted, of the network asked for, and that
//     has not expired, is reported. One that expires later is Lost then.
//   - Of one ID, a record with a higher sequence replaces the last; one
//     with the same or a lower is ignored, in a goodbye as well.
//   - Found comes before Changed and Lost of an ID; after Lost, Found comes again.
//   - A slow reader of a Browser gets each ID's latest state, never a backlog.
//   - A Browser reports every node of its network, those too that are
//     advertised through the same Discovery; who knows its own ID passes over it.
//   - What a stranger sends costs bounded memory, processor time and traffic.
type Discovery interface {
	// Advertise makes s known to others until the Advertiser is closed. It
	// returns as soon as the advertising has begun, without waiting for anybody to
	// hear it. Where it cannot begin it fails, saying what is missing;
	// [ErrUnavailable] is in the chain where this machine or network cannot do it at
	// all. ctx bounds the call, not the advertising.
	Advertise(ctx context.Context, s Signed) (Advertiser, error)

	// Browse reports the nodes of one network, starting with those already
	// known. ctx bounds the call, not the browsing. Errors are as of Advertise.
	Browse(ctx context.Context, network Tag) (Browser, error)

	// Close ends all Advertisers and Browsers and what they hold. It says no
	// goodbyes: it has none that are signed. It is idempotent, and returns after the last
	// of its goroutines has ended.
	Close() error
}

// An Advertiser makes one node known. It is safe for concurrent use.
type Advertiser interface {
	// Update replaces the record. It must have the same ID and network and a
	// higher sequence, and is refused otherwise. Others hear of it at once, as far as
	// the medium's traffic limits allow. After Close it fails with [ErrClosed].
	Update(s Signed) error

	// Close says goodbye where the medium can, and stops. goodbye is a record
	// without addresses and with a higher sequence. With the zero Signed
	// nothing is said, and others notice by silence. Close is idempotent, and
	// waits for the goodbye to be sent, not to be heard.
	Close(goodbye Signed) error
}

// A Browser reports who is there. Next is for one goroutine at a time; the
// other methods are safe for concurrent use.
type Browser interface {
	// Next waits for the next change. It fails with ctx's error when ctx ends,
	// without losing a change, and with [ErrClosed] after Close, which ends a Next that waits.
	// An error of the medium is not an end: a Browser goes on by itself when
	// the medium is back.
	//
	// Changes of one ID that wait to be read are one: what differs between the state last read and
	// the present one. So who came and went in between is not reported, and who went and
	// came back is Changed, or, with the same record, nothing.
	Next(ctx context.Context) (Event, error)

	// Suspect says that a node could not be reached, so that the Browser asks whether
	// it is still there, and reports Lost soon if it is not. It returns at once.
	// A medium that cannot ask ignores it.
	Suspect(id kith.ID)

	// Close ends the browsing. It is idempotent.
	Close() error
}

// An Event is a change in who is there.
//
// A medium whose word is the user's own, such as the list of package
// discovery/static, may report records that nobody signed: their Sequence is zero, and so
// is what the user did not write down. A record that came from others is always signed.
type Event struct {
	Kind   Kind   // what changed
	Record Record // the latest; of Lost, the last that was no goodbye
}

// A Kind says what changed.
type Kind int

// The kinds of change.
const (
	Found   Kind = iota + 1 // a node that was not known
	Changed                 // a known node has a new record
	Lost                    // a node said goodbye, or was not heard for too long
)

// String implements [fmt.Stringer].
func (k Kind) String() string {
	switch k {
	case Found:
		return "Found"
	case Changed:
		return "Changed"
	case Lost:
		return "Lost"
	}
	return fmt.Sprintf("Kind(%d)", int(k))
}

var (
	// ErrClosed is what a closed Discovery, Advertiser or Browser returns.
	ErrClosed = errors.New("discovery: closed")

	// ErrUnavailable says that the medium cannot be used here: no
	// interface with multicast, a port taken, a file that is not there. The
	// error around it says which, and what to do.
	ErrUnavailable = errors.New("discovery: unavailable")
)
