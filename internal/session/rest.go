package session

import "time"

// A session with very many calls in flight rests now and then, while others call too
// and the processors are busy. Turns alone are not enough: where calls wait without
// end, no processor ever runs dry, and Go looks at the network only every 10 ms then,
// which each call of the others waits to be seen. While the session rests none of
// its calls has a turn.
const (
	// restAbove is how many calls in flight are very many.
	restAbove = 128
	// restAfter is how long the session's handlers may run between rests. Each call
	// counts callCost when it begins, for what it costs beside its handler.
	restAfter = 250 * time.Microsecond
	callCost  = 2 * time.Microsecond
	// bulkCost is what a large call counts beside, for each bulkSize bytes: what it costs to
	// receive them over QUIC, and to answer for them.
	bulkCost = 500 * time.Nanosecond
	// restShare is how many times as long as its handlers ran a session rests, at
	// most maxRest: handlers that wait for something run long, and cost nothing.
	restShare = 4
	maxRest   = 20 * time.Millisecond
	// sharedTime is for how long the call of a session with few counts, and busyTime for how
	// long it counts that a worker came lateAfter it was sent: the processors had
	// something else to do.
	sharedTime = 200 * time.Millisecond
	busyTime   = 200 * time.Millisecond
	lateAfter  = 300 * time.Microsecond
)

// A load is what Workers know of who calls, and of how busy the processors are. It is
// guarded by Workers.mu.
type load struct {
	small  [2]smallCall // by different sessions, the last one first
	sent   time.Time    // when a worker was sent, if it is one to be timed
	late   time.Time    // when one came late
	rests  int          // sessions that rest, the turns or the reader of which do
	hung   int          // handlers, of very many, whose connection ended of late
	halved time.Time    // when half of them were last forgotten
}

// A smallCall is the last call of a session with few of them.
type smallCall struct {
	by *Session
	at time.Time
}

// crowded reports whether s has very many calls in flight. A large one counts as
// many: it takes as few of them to keep the processors from looking at the network. But
// who has one at a time is not to rest, however large that is: its answer is waited for.
func (s *Session) crowded() bool {
	running := s.in.running.Load()
	return running > 1 && running+s.in.bulk.Load() > restAbove
}

// noteCall notes that c came.
func (l *load) noteCall(c *inCall) {
	s := c.s
	if s.crowded() {
		return
	}
	if l.small[0].by != s {
		l.small[1], l.small[0].by = l.small[0], s
	}
	l.small[0].at = s.base.Add(c.began)
}

// noteSent notes that a worker is sent for a call of s.
func (l *load) noteSent(s *Session) {
	l.sent = time.Time{}
	if s.crowded() {
		l.sent = time.Now()
	}
}

// noteArrival notes that it has come.
func (l *load) noteArrival() {
	if l.sent.IsZero() {
		return
	}
	if now := time.Now(); now.Sub(l.sent) > lateAfter {
		l.late = now
	}
}

// shared reports whether another session, with few calls, has called of late.
func (l *load) shared(s *Session, now time.Time) bool {
	other := &l.small[0]
	if other.by == s {
		other = &l.small[1]
	}
	return now.Sub(other.at) < sharedTime
}

// tight reports whether s, which has many calls, is in the way of one that has few.
func (l *load) tight(s *Session, now time.Time) bool {
	return now.Sub(l.late) < busyTime && l.shared(s, now)
}

// chargeLocked counts what a call of s takes, and has s rest if it is time to.
func (w *Workers) chargeLocked(s *Session, now time.Time, took time.Duration) {
	q := &s.turn
	if !w.load.tight(s, now) {
		q.spent = 0
		return
	}
	if q.spent += took; q.spent < restAfter || q.resting {
		return
	}
	spent := q.spent
	q.spent = 0
	w.restLocked(s, restShare*spent)
}

// restLocked has s rest, unless it has ended: then its calls are to go.
func (w *Workers) restLocked(s *Session, rest time.Duration) {
	if s.in.ended.Load() {
		return
	}
	q := &s.turn
	q.resting = true
	rest = w.load.begin(s, rest)
	if q.timer == nil {
		q.timer = time.AfterFunc(rest, func() { w.rested(s) })
	} else {
		q.timer.Reset(rest)
	}
}

// rested ends the rest of s.
func (w *Workers) rested(s *Session) {
	w.mu.Lock()
	if s.turn.resting {
		s.turn.resting = false
		w.load.end(s)
	}
	w.startStreamsLocked(s)
	w.queue.join(s)
	k := w.summonLocked()
	w.mu.Unlock()
	w.send(k)
}

// begin notes that s, or what calls it, is to rest, and returns for how long. The more
// sessions rest the longer each does, so that together they have hardly more than one.
func (l *load) begin(s *Session, rest time.Duration) time.Duration {
	if s.turn.rests++; s.turn.rests == 1 {
		l.rests++
	}
	return min(min(rest, maxRest)*time.Duration(l.rests), maxRest) // a handler may run for days
}

// end notes that it has.
func (l *load) end(s *Session) {
	if s.turn.rests--; s.turn.rests == 0 {
		l.rests--
	}
}

// pause has the goroutine that calls it, one of s's own, rest, or until s ends.
func (w *Workers) pause(s *Session, rest time.Duration) {
	w.mu.Lock()
	rest = w.load.begin(s, rest)
	w.mu.Unlock()
	t := time.NewTimer(rest)
	select {
	case <-t.C:
	case <-s.ended:
		t.Stop()
	}
	w.mu.Lock()
	w.load.end(s)
	w.mu.Unlock()
}

// chargeReading counts what it takes to receive a large call beside others, and has the
// reader rest if it is time to. Turns alone bound the calls that are here, and
// [wire.MaxLaneCalls] may come before one has its turn.
func (s *Session) chargeReading(bulk int64) {
	w, r := s.cfg.Workers, &s.read
	running := s.in.running.Load() // without the one that is read
	if w == nil || bulk == 0 || running == 0 || running+s.in.bulk.Load()+bulk < restAbove {
		return
	}
	w.mu.Lock()
	tight := w.load.tight(s, time.Now())
	w.mu.Unlock()
	if !tight {
		r.spent = 0
		return
	}
	if r.spent += callCost + time.Duration(bulk)*bulkCost; r.spent >= restAfter {
		rest := restShare * r.spent
		r.spent = 0
		w.pause(s, rest)
	}
}
