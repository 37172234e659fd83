package discovery

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/kith-go/kith"
)

// A TableConfig is what a [Table] goes by. Its zero value is that of a network with a zero tag,
// with all limits at their defaults.
type TableConfig struct {
	// Network is whose records are taken; others are refused.
	Network Tag

	// MaxPeers is how many IDs are held at most. If zero, 4,096. If negative, no limit.
	MaxPeers int

	// MaxPerSource is how many IDs one source can have brought, of those held.
	// If zero, 64. If negative, no limit, and no bound on a source's share of the rates below.
	MaxPerSource int

	// ChecksPerSecond is how many signatures are checked a second, and twice
	// as many at once after a pause. One source gets a quarter of
	// that at most. If zero, 500. If negative, no limit.
	ChecksPerSecond int

	// NewPerSecond is how many IDs that were not known are taken in a second, and
	// twice as many at once after a pause. One source gets a quarter of that at
	// most. If zero, 250. If negative, no limit.
	NewPerSecond int

	// Now tells the time, for expiry and rates. If nil, [time.Now]. It must not
	// call the table.
	Now func() time.Time

	// Suspect is what the [Browser.Suspect] of all the table's browsers calls, with
	// IDs that are held. It must return at once. If nil, they ignore it.
	Suspect func(kith.ID)
}

// A Table keeps the rules of [Discovery] for one network: it judges the records that a
// medium brings, holds the latest of each ID, and tells its Browsers what changes. Package discovery/mdns
// has one per network, and so may a Discovery of your own: it hands every record that it hears to [Table.Put],
// and says with [Table.Drop] whom it hears no more.
//
// Get one from [NewTable]. Its methods may be called at once from any number of goroutines. It runs none of
// its own: that a record expired is noticed by who looks, a waiting [Browser.Next] included.
//
// What is held is bounded by MaxPeers records of [MaxSize]. Who is held is not evicted by anybody: when the table or a
// source's share is full, newcomers are refused until somebody said goodbye, was dropped, or expired.
type Table struct {
	cfg TableConfig // with defaults filled in

	mu        sync.Mutex
	closed    bool               // guarded by mu
	peers     map[kith.ID]*entry // guarded by mu
	sources   map[string]int     // guarded by mu; how many of peers each brought, never zero
	arrivals  uint64             // guarded by mu; numbers the entries
	expiry    time.Time          // guarded by mu; no entry expires earlier; zero if there is none
	floors    floors             // guarded by mu
	checks    limiter            // guarded by mu
	newcomers limiter            // guarded by mu
	browsers  map[*browser]bool  // guarded by mu
}

// An entry is one ID that is there.
type entry struct {
	*Signed
	arrival uint64
	source  string // who brought it first, and is charged for it, wherever later records come from
}

const (
	defaultMaxPeers     = 4096
	defaultMaxPerSource = 64
	defaultChecks       = 500
	defaultNewcomers    = 250
)

// NewTable makes a table that holds nobody.
func NewTable(cfg TableConfig) *Table {
	cfg.MaxPeers = limitOf(cfg.MaxPeers, defaultMaxPeers)
	cfg.MaxPerSource = limitOf(cfg.MaxPerSource, defaultMaxPerSource)
	cfg.ChecksPerSecond = limitOf(cfg.ChecksPerSecond, defaultChecks)
	cfg.NewPerSecond = limitOf(cfg.NewPerSecond, defaultNewcomers)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	shared := cfg.MaxPerSource != noLimit
	return &Table{
		cfg:       cfg,
		peers:     make(map[kith.ID]*entry),
		sources:   make(map[string]int),
		checks:    newLimiter(cfg.ChecksPerSecond, shared),
		newcomers: newLimiter(cfg.NewPerSecond, shared),
		browsers:  make(map[*browser]bool),
	}
}

// Put judges a signed record that the medium brought, and takes it in if it is right and new. source is what the
// sender can be held to, such as its address without the port; it is bounded by MaxPerSource and shares of
// the rates. The empty source is trusted, such as this process itself: neither bound nor rates hold for it.
//
// It returns what was signed and what that changed: [Found], [Changed], [Lost] for a goodbye, or zero where
// the record is the one held already. So a nil error says that the node spoke, or that somebody repeated what it said.
//
// Otherwise nobody was found, changed or lost, and the error matches one of [ErrRecord], [ErrNetwork],
// [ErrExpired], [ErrStale], [ErrFull], [ErrLimited] and [ErrClosed]; the record is zero then. A record is
// refused for the cheapest reason there is; its signature is checked last. raw is not kept. The record's slices
// are not to be changed.
func (t *Table) Put(raw []byte, source string) (Record, Kind, error) {
	if err := checkForm(raw); err != nil {
		return Record{}, 0, err
	}
	now := t.cfg.Now()
	p := put{raw: raw, head: headOf(raw), goodbye: isGoodbye(raw), source: source, now: now}
	if known, err := t.screen(p); err != nil {
		return Record{}, 0, err
	} else if known != nil {
		return known.rec, 0, nil
	}
	// Not under the lock, which a flood would hold most of the time. What the table
	// holds may change meanwhile: accept judges once more.
	if err := checkSignature(raw); err != nil {
		return Record{}, 0, err
	}
	return t.accept(p)
}

// A put is a record being judged.
type put struct {
	raw     []byte
	head    head
	goodbye bool
	source  string
	now     time.Time
}

// screen refuses a record for what it says, or finds it known. With neither, its signature is to be checked,
// which is accounted for.
func (t *Table) screen(p put) (known *Signed, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, err = t.judgeLocked(p); known != nil || err != nil {
		return known, err
	}
	if !t.checks.take(p.source, p.now) {
		return nil, ErrLimited
	}
	return nil, nil
}

// accept takes in a record whose signature is right.
func (t *Table) accept(p put) (Record, Kind, error) {
	s := decode(p.raw)
	t.mu.Lock()
	defer t.mu.Unlock()
	known, err := t.judgeLocked(p)
	if err != nil {
		return Record{}, 0, err
	} else if known != nil {
		return known.rec, 0, nil
	}
	e := t.peers[p.head.id]
	switch {
	case p.goodbye && e == nil:
		t.floors.raise(p.head.id, p.head.sequence)
		return Record{}, 0, ErrStale // it is not there already
	case p.goodbye:
		t.loseLocked(e, p.head.sequence)
		return s.rec, Lost, nil
	case e != nil:
		e.Signed = &s
		t.watchExpiryLocked(p.head.expires)
		t.tellLocked(e.rec.ID, e.Signed)
		return s.rec, Changed, nil
	}
	if !t.newcomers.take(p.source, p.now) {
		return Record{}, 0, ErrLimited
	}
	t.addLocked(&s, p.source)
	return s.rec, Found, nil
}

// judgeLocked says why a record is refused, or that it is known, as far as can be told without its signature.
func (t *Table) judgeLocked(p put) (known *Signed, err error) {
	if t.closed {
		return nil, ErrClosed
	}
	t.sweepLocked(p.now)
	if p.head.network != t.cfg.Network {
		return nil, ErrNetwork
	}
	if !p.now.Before(p.head.expires) {
		return nil, ErrExpired
	}
	if e := t.peers[p.head.id]; e != nil {
		switch {
		case e.raw == string(p.raw):
			return e.Signed, nil // which may be another one when mu is free
		case p.head.sequence <= e.rec.Sequence:
			return nil, ErrStale
		}
		return nil, nil
	}
	floor, left := t.floors.of(p.head.id)
	switch {
	case left && p.head.sequence <= floor, p.goodbye && !left:
		return nil, ErrStale
	case p.goodbye:
		return nil, nil
	case len(t.peers) >= t.cfg.MaxPeers, p.source != "" && t.sources[p.source] >= t.cfg.MaxPerSource:
		return nil, ErrFull
	case !t.newcomers.has(p.source, p.now):
		return nil, ErrLimited
	}
	return nil, nil
}

func (t *Table) addLocked(s *Signed, source string) {
	id := s.rec.ID
	t.arrivals++
	t.peers[id] = &entry{Signed: s, arrival: t.arrivals, source: source}
	if source != "" {
		t.sources[source]++
	}
	t.floors.forget(id)
	t.watchExpiryLocked(s.rec.Expires)
	t.tellLocked(id, s)
}

// loseLocked takes out an entry. Of its ID nothing will be taken up to the sequence floor.
func (t *Table) loseLocked(e *entry, floor uint64) {
	id := e.rec.ID
	delete(t.peers, id)
	if e.source != "" {
		if t.sources[e.source]--; t.sources[e.source] == 0 {
			delete(t.sources, e.source)
		}
	}
	t.floors.raise(id, floor)
	t.tellLocked(id, nil)
}

// sweepLocked loses who has expired. Expiries are whole seconds, so it looks through the entries once
// a second at most, whatever they say.
func (t *Table) sweepLocked(now time.Time) {
	if t.expiry.IsZero() || now.Before(t.expiry) {
		return
	}
	t.expiry = time.Time{}
	for _, e := range t.inOrderLocked() {
		if now.Before(e.rec.Expires) {
			t.watchExpiryLocked(e.rec.Expires)
		} else {
			t.loseLocked(e, e.rec.Sequence-1)
		}
	}
}

func (t *Table) watchExpiryLocked(at time.Time) {
	if t.expiry.IsZero() || at.Before(t.expiry) {
		t.expiry = at
	}
}

func (t *Table) inOrderLocked() []*entry {
	all := make([]*entry, 0, len(t.peers))
	for _, e := range t.peers {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *entry) int { return cmp.Compare(a.arrival, b.arrival) })
	return all
}

// Drop says that id was not heard for too long: it is Lost, if it was there, which Drop reports. The same
// record brings it back, an older one does not.
func (t *Table) Drop(id kith.ID) bool {
	now := t.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweepLocked(now)
	e := t.peers[id]
	if e == nil {
		return false
	}
	t.loseLocked(e, e.rec.Sequence-1)
	return true
}

// Get returns the record held of id.
func (t *Table) Get(id kith.ID) (Signed, bool) {
	now := t.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweepLocked(now)
	if e := t.peers[id]; e != nil {
		return *e.Signed, true
	}
	return Signed{}, false
}

// All returns the records held, those of the IDs that came first before others. The slice is the caller's.
func (t *Table) All() []Signed {
	now := t.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweepLocked(now)
	all := make([]Signed, 0, len(t.peers))
	for _, e := range t.inOrderLocked() {
		all = append(all, *e.Signed)
	}
	return all
}

// Len returns how many IDs are held.
func (t *Table) Len() int {
	now := t.cfg.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweepLocked(now)
	return len(t.peers)
}

// Close ends all Browsers and forgets everything. It is idempotent.
func (t *Table) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.peers, t.sources, t.floors, t.expiry = nil, nil, floors{}, time.Time{}
	for b := range t.browsers {
		b.endLocked()
	}
}
