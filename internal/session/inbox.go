package session

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/kith-go/kith/internal/wire"
)

// inbox is the calls that this side serves.
type inbox struct {
	running atomic.Int64 // calls in slots and streams
	bulk    atomic.Int64 // as how many more they count, for their size

	// first and slots are the lane calls by the low bits of their id: those below
	// firstSlots in first, which spares a connection with few calls the rest. The
	// reader puts calls in, whoever ends a call takes it out.
	first [firstSlots]atomic.Pointer[inCall]
	slots atomic.Pointer[slotTable] // nil until a call has no place in first

	ended atomic.Bool // set before the calls there are cancelled

	mu        sync.Mutex
	streams   map[uint64]*inCall  // stream calls by number; guarded by mu
	cancelled map[uint64]struct{} // stream calls cancelled before they came; guarded by mu
}

const (
	firstSlots = 8   // a session has from the start
	slotChunk  = 256 // are made at once, as calls need them
)

// A slotTable has the chunks of slots, nil where no call was. Only the reader
// makes chunks.
type slotTable [wire.MaxLaneCalls / slotChunk]atomic.Pointer[[slotChunk]atomic.Pointer[inCall]]

// slot returns the place of a lane call, nil if none was ever that high.
func (in *inbox) slot(id uint64) *atomic.Pointer[inCall] {
	n := id & (wire.MaxLaneCalls - 1)
	if n < firstSlots {
		return &in.first[n]
	}
	table := in.slots.Load()
	if table == nil {
		return nil
	}
	if chunk := table[n/slotChunk].Load(); chunk != nil {
		return &chunk[n%slotChunk]
	}
	return nil
}

// makeSlot is slot for a call that has none yet. Only the reader calls it.
func (in *inbox) makeSlot(id uint64) *atomic.Pointer[inCall] {
	table := in.slots.Load()
	if table == nil {
		table = new(slotTable)
		in.slots.Store(table)
	}
	table[id&(wire.MaxLaneCalls-1)/slotChunk].Store(new([slotChunk]atomic.Pointer[inCall]))
	return in.slot(id)
}

// all returns the calls being served.
func (in *inbox) all() (calls []*inCall) {
	for i := range in.first {
		if c := in.first[i].Load(); c != nil {
			calls = append(calls, c)
		}
	}
	if table := in.slots.Load(); table != nil {
		for i := range table {
			calls = appendCalls(calls, table[i].Load())
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, c := range in.streams {
		calls = append(calls, c)
	}
	return calls
}

func appendCalls(calls []*inCall, chunk *[slotChunk]atomic.Pointer[inCall]) []*inCall {
	if chunk == nil {
		return calls
	}
	for i := range chunk {
		if c := chunk[i].Load(); c != nil {
			calls = append(calls, c)
		}
	}
	return calls
}

// maxCancelled bounds the cancels that are kept for streams yet to come: as
// many as streams can be open.
const maxCancelled = 2048

// used reports whether a lane call is in the slot of id. What is not, stays so
// until claim: only the reader calls either.
func (in *inbox) used(id uint64) bool {
	slot := in.slot(id)
	return slot != nil && slot.Load() != nil
}

// claim puts a lane call into its slot, which is not used. It returns how many
// calls are served now.
func (in *inbox) claim(c *inCall) (running int64) {
	slot := in.slot(c.id)
	if slot == nil {
		slot = in.makeSlot(c.id)
	}
	slot.Store(c)
	if c.bulk > 0 {
		in.bulk.Add(c.bulk)
	}
	running = in.running.Add(1)
	if in.ended.Load() {
		c.cancel() // cancelAll may have looked before
	}
	return running
}

// free ends c's use of its slot or number.
func (in *inbox) free(c *inCall) {
	in.running.Add(-1)
	if c.bulk > 0 {
		in.bulk.Add(-c.bulk)
	}
	if !c.isStream() {
		in.slot(c.id).Store(nil)
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.streams, c.id)
}

// claimStream registers a stream call. It returns how many calls are served
// now, 0 for a number in use, and whether a cancel came first.
func (in *inbox) claimStream(c *inCall) (running int64, cancelled bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.streams == nil {
		in.streams = make(map[uint64]*inCall)
	}
	if _, twice := in.streams[c.id]; twice {
		return 0, false
	}
	in.streams[c.id] = c
	running = in.running.Add(1)
	_, cancelled = in.cancelled[c.id]
	delete(in.cancelled, c.id)
	return running, cancelled || in.ended.Load()
}

// cancelFirst notes the cancel of a stream call that is yet to come. It is called with
// mu held.
func (in *inbox) cancelFirst(id uint64) {
	if in.cancelled == nil {
		in.cancelled = make(map[uint64]struct{})
	}
	in.cancelled[id] = struct{}{}
}

// oldest makes room for one more early cancel and returns the lowest number
// that is worth keeping. It is called with mu held.
func (in *inbox) oldest(id uint64) uint64 {
	if len(in.cancelled) < maxCancelled {
		return 0
	}
	// Those of long ago belong to calls that ended before their cancel came. What is long
	// ago, the highest number tells: by id alone, numbers that fall would all be kept.
	high := id
	for n := range in.cancelled {
		high = max(high, n)
	}
	floor := high - min(high, maxCancelled/2)
	for n := range in.cancelled {
		if n < floor {
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

// Served is a call that has not ended, at the side that serves it.
type Served struct {
	Method string
	Age    time.Duration // since it came
}

// Serving returns the calls that are served for this session.
func (s *Session) Serving() []Served {
	now := time.Since(s.base)
	var calls []Served
	for _, c := range s.in.all() {
		calls = append(calls, Served{c.method.Name(), now - c.began})
	}
	return calls
}
