package mux

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCreditSums plays both ends of the credit of a connection with many
// streams at random, and checks after each step that nobody sent more than was
// granted, that the sums of both ends agree, and in the end that all credit
// came back.
func TestCreditSums(t *testing.T) {
	steps := 1_000_000
	switch {
	case testing.Short():
		steps = 50_000
	case raceEnabled:
		steps = 100_000 // one goroutine: nothing for the race detector to find
	}
	rng := rand.New(rand.NewPCG(1, 2))
	w := newCreditWorld()
	for range steps {
		w.step(rng)
		w.check(t)
		if t.Failed() {
			return
		}
	}
	w.settle()
	w.check(t)
	for i, s := range w.all {
		if s.recv.used != s.send.sent || s.recv.limit < s.recv.used+s.recv.size/2 {
			t.Errorf("stream %d at rest: used %d of %d sent, limit %d with window %d", i, s.recv.used, s.send.sent, s.recv.limit, s.recv.size)
		}
		if s.send.fit(minPayload) == 0 {
			t.Errorf("stream %d at rest cannot send", i)
		}
	}
}

// A creditPair is a window seen from both ends, and what is between them.
type creditPair struct {
	send   sendWindow
	recv   recvWindow
	grants []uint64 // on their way to the sender
}

type creditWorld struct {
	conn    *creditPair
	streams []*creditPair
	all     []*creditPair // streams, then conn
	flight  []creditFrame
	unread  []int // by stream: cost not read yet
}

type creditFrame struct{ stream, size int }

func newCreditPair(size, most uint64) *creditPair {
	return &creditPair{send: sendWindow{limit: size}, recv: newRecvWindow(size, most)}
}

func newCreditWorld() *creditWorld {
	w := &creditWorld{conn: newCreditPair(connWindow, maxConnWindow), unread: make([]int, 8)}
	for range w.unread {
		w.streams = append(w.streams, newCreditPair(streamWindow, maxStreamWindow))
	}
	w.all = append(slices.Clone(w.streams), w.conn)
	return w
}

func (w *creditWorld) step(rng *rand.Rand) {
	i := rng.IntN(len(w.streams))
	s := w.streams[i]
	switch rng.IntN(8) {
	case 0, 1, 2:
		n := 1 + rng.IntN(1+rng.IntN(maxData))
		size := s.send.fit(n)
		if size == 0 || w.conn.send.fit(size) == 0 {
			return
		}
		size = min(size, w.conn.send.fit(size))
		cost := frameCost(size)
		s.send.sent += cost
		w.conn.send.sent += cost
		if rng.IntN(50) == 0 { // not sent after all
			s.send.sent -= cost
			w.conn.send.sent -= cost
			return
		}
		w.flight = append(w.flight, creditFrame{i, size})
	case 3, 4:
		w.deliver()
	case 5, 6:
		w.read(i, min(w.unread[i], 1+rng.IntN(maxData)))
	case 7:
		if rng.IntN(20) == 0 {
			s.recv.size += s.recv.wantGrowth()
			w.conn.recv.size += w.conn.recv.wantGrowth()
		}
		w.takeGrants(s)
		w.takeGrants(w.conn)
	}
}

func (w *creditWorld) deliver() {
	if len(w.flight) == 0 {
		return
	}
	f := w.flight[0]
	w.flight = w.flight[1:]
	cost := frameCost(f.size)
	if !w.streams[f.stream].recv.receive(cost) || !w.conn.recv.receive(cost) {
		panic("sent beyond credit")
	}
	w.unread[f.stream] += int(cost)
}

func (w *creditWorld) read(i, n int) {
	w.unread[i] -= n
	for _, s := range []*creditPair{w.streams[i], w.conn} {
		s.recv.used += uint64(n)
		if s.recv.due() {
			s.grants = append(s.grants, s.recv.grant())
		}
	}
}

func (w *creditWorld) takeGrants(s *creditPair) {
	for _, g := range s.grants {
		s.send.raise(g)
	}
	s.grants = nil
}

// settle delivers and reads all.
func (w *creditWorld) settle() {
	for len(w.flight) > 0 {
		w.deliver()
	}
	for i, n := range w.unread {
		w.read(i, n)
		w.takeGrants(w.streams[i])
	}
	w.takeGrants(w.conn)
}

func (w *creditWorld) check(t *testing.T) {
	t.Helper()
	var sent, got, used, unread uint64
	for i, s := range w.all {
		r := &s.recv
		if s.send.sent > s.send.limit || s.send.limit > r.limit || r.used > r.got || r.got > r.limit || r.limit-r.used > r.size || r.size > r.max {
			t.Fatalf("stream %d: sent %d of %d; granted %d, received %d, used %d, window %d of %d", i, s.send.sent, s.send.limit, r.limit, r.got, r.used, r.size, r.max)
		}
		if i < len(w.streams) {
			sent, got, used, unread = sent+s.send.sent, got+r.got, used+r.used, unread+uint64(w.unread[i])
		}
	}
	if c := w.conn; sent != c.send.sent || got != c.recv.got || used != c.recv.used || got-used != unread {
		t.Fatalf("streams sum up to sent %d, received %d, used %d, unread %d; the connection has %d, %d, %d", sent, got, used, unread, c.send.sent, c.recv.got, c.recv.used)
	}
}

func TestWaste(t *testing.T) {
	var w waste
	for i := range maxWaste {
		if !w.useless() {
			t.Fatalf("useless frame %d was one too many", i+1)
		}
	}
	w.useful()
	for range usefulWorth {
		if !w.useless() {
			t.Error("a useful frame made up for too little")
		}
	}
	if w.useless() {
		t.Errorf("%d useless frames were borne", maxWaste+1)
	}
}
