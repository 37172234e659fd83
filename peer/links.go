package peer

import (
	"slices"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/session"
)

// links are the connections that a node has with one peer, and the rule by
// which both end up with the same one: docs/wire.md, section 4. It decides and does nothing:
// whoever calls it, under the pair's lock, closes, drains and dials.
type links struct {
	// smaller says that this node's ID is the smaller of the two.
	smaller bool
	// latest is the number of the last attempt of this node's.
	latest uint64
	// attempts are this node's whose hello may have been sent, and that have
	// neither succeeded nor failed.
	attempts []uint64
	// held are the connections that were admitted and have not ended.
	held []*link
	// winner is the one for new calls, nil if there is none.
	winner *link
}

// A link is a connection to a peer that both sides have admitted.
type link struct {
	s        *session.Session
	dialed   bool   // by this node
	attempt  uint64 // its dialler's number
	instance [8]byte
	// theirs is, of a link that this node dialled, the peer's latest attempt when it
	// judged ours: an older hello of the peer's cannot know this link.
	theirs uint64
	eager  bool
	// draining says that no new call is made on it: this node drains it, or the
	// peer does.
	draining bool

	made       uint64    // calls that this node made, when it was last looked at
	quietSince time.Time // since when none was made or open
}

// maxAccepted is how many connections of one peer are held at most; the list
// in hello has room for this node's own beside them.
const maxAccepted = session.MaxHolds * 3 / 4

var (
	errTooMany = kith.NewError(kith.ResourceExhausted, "too_many_connections", "too many connections of one peer").Refusal()
	errAttempt = kith.NewError(kith.InvalidArgument, "bad_attempt", "attempt made before")
)

// begin takes a number for a new attempt, which is in progress from then on. It returns
// false if there are too many connections already.
func (l *links) begin(eager bool) (session.Pairing, bool) {
	if len(l.held)+len(l.attempts) >= session.MaxHolds {
		return session.Pairing{}, false
	}
	p := session.Pairing{Attempt: l.latest + 1, Eager: eager}
	for _, k := range l.held {
		p.Holds = append(p.Holds, session.Held{Mine: k.dialed, Attempt: k.attempt})
	}
	for _, n := range l.attempts {
		p.Holds = append(p.Holds, session.Held{Mine: true, Attempt: n})
	}
	l.latest++
	l.attempts = append(l.attempts, l.latest)
	return p, true
}

// failed ends an attempt that led to nothing.
func (l *links) failed(attempt uint64) {
	l.attempts = slices.DeleteFunc(l.attempts, func(n uint64) bool { return n == attempt })
}

// admitted turns an attempt into a link. It returns those that the peer's
// welcome shows to be dead.
func (l *links) admitted(k *link) (dead []*link) {
	l.failed(k.attempt)
	dead = l.drop(func(c *link) bool { return c.instance != k.instance && !planted.has(keepsInstances) })
	l.held = append(l.held, k)
	return dead
}

// judge takes the peer's hello on a connection that the peer dialled. It
// returns what welcome says, and the links that hello shows to be dead: they are to be
// closed, not drained.
func (l *links) judge(k *link, r session.Remote) (p session.Pairing, dead []*link, err error) {
	for _, c := range l.held {
		if !c.dialed && c.instance == r.Instance && c.attempt == r.Attempt {
			return p, nil, errAttempt
		}
	}
	dead = l.drop(func(c *link) bool {
		return c.instance != r.Instance && !planted.has(keepsInstances) || l.unlisted(c, &r.Pairing)
	})
	accepted := 0
	for _, c := range l.held {
		if !c.dialed {
			accepted++
		}
	}
	if accepted >= maxAccepted {
		return p, dead, errTooMany
	}
	k.instance, k.attempt, k.eager = r.Instance, r.Attempt, r.Eager
	l.held = append(l.held, k)
	return session.Pairing{Attempt: l.latest}, dead, nil
}

// unlisted reports whether the peer, when it sent this hello, knew c and had
// dropped it.
func (l *links) unlisted(c *link, hello *session.Pairing) bool {
	before := c.theirs // the peer's attempts that were numbered before it knew c
	if !c.dialed {
		before = c.attempt
	}
	if hello.Attempt <= before || planted.has(keepsUnlisted) {
		return false
	}
	// What is the peer's own in its list is a link that it dialled.
	return !slices.Contains(hello.Holds, session.Held{Mine: !c.dialed, Attempt: c.attempt})
}

// drop removes the links that match, and returns them.
func (l *links) drop(match func(*link) bool) (dropped []*link) {
	l.held = slices.DeleteFunc(l.held, func(c *link) bool {
		if match(c) {
			dropped = append(dropped, c)
			return true
		}
		return false
	})
	return dropped
}

// ended removes a link whose connection has ended. It reports whether it was held.
func (l *links) ended(k *link) bool {
	return len(l.drop(func(c *link) bool { return c == k })) > 0
}

// elect chooses the winner among the links that nobody drains. Call it after
// every change.
func (l *links) elect() {
	l.winner = nil
	for _, c := range l.held {
		if !c.draining && (l.winner == nil || l.before(c, l.winner)) {
			l.winner = c
		}
	}
}

// losers returns the links that this node is to drain, once it has seen that the winner
// lives: a dead one must not cost a live one. Only the dialler of the winner drains: it
// has the peer's welcome, so both hold what stays.
func (l *links) losers() (drain []*link) {
	if l.winner == nil || !l.winner.dialed && !planted.has(acceptorDrains) {
		return nil
	}
	for _, c := range l.held {
		if c != l.winner && !c.draining {
			drain = append(drain, c)
		}
	}
	return drain
}

// before reports whether a is kept rather than b.
func (l *links) before(a, b *link) bool {
	if a.dialed != b.dialed {
		return a.dialed == (l.smaller && !planted.has(largerWins))
	}
	return a.attempt < b.attempt
}
