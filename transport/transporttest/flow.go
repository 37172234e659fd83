package transporttest

import (
	"context"
	"errors"
	"os"
	"runtime"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

var flowCases = []testCase{
	{"UnreadStallsNoOther", unreadStallsNoOther},
	{"UnreadIsBounded", unreadIsBounded},
	{"ManyUnreadAreBounded", manyUnreadAreBounded},
	{"SmallWritesAreBounded", smallWritesAreBounded},
	{"DiscardedReturnsRoom", discardedReturnsRoom},
	{"BlockedWriteUnblocks", blockedWriteUnblocks},
}

const blocks = "blocks while the other side grants no room"

// unreadStallsNoOther has one stream in each direction that is full and that
// nobody reads, with traffic beside them, on streams old and new.
func unreadStallsNoOther(r *run) {
	p := r.pair()
	r.obey(rule{"Stream", "is one ordered, flow-controlled byte stream"})
	before, beforeFar := r.stream(p.dialed, p.accepted)
	var full, unread [2]transport.Stream
	var taken [2]int64
	for i, side := range p.sides() {
		full[i], unread[i] = r.stream(side.from, side.to)
	}
	r.each(2, func(i int) { taken[i] = r.fill(full[i], pattern(i), 16<<10) })

	r.serveConn(p.accepted)
	r.serveConn(p.dialed)
	for _, side := range p.sides() {
		r.echo(r.openStream(side.from), 5, r.scale(4<<20))
	}
	r.each(100, func(i int) {
		// Little enough for any window that all streams share.
		r.echo(r.openStream(p.sides()[i%2].from), pattern(10+i), 1000)
	})
	r.expectUsable(before, beforeFar)
	r.each(2, func(i int) {
		r.closeWrite(full[i])
		r.receive(unread[i], pattern(i), int(taken[i]))
	})
}

func unreadIsBounded(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Write", blocks})
		near, far := r.stream(side.from, side.to)
		n := r.fill(near, 1, 64<<10)
		r.closeWrite(near)
		r.receive(far, 1, int(n))
		r.close(near)
		r.close(far)
	}
}

// manyUnreadAreBounded fills many streams at once, then reads them all: the
// room that they took must come back.
func manyUnreadAreBounded(r *run) {
	p := r.pair()
	r.obey(rule{"Stream.Write", blocks})
	n := r.streamLimit(64)
	near, far := make([]transport.Stream, n), make([]transport.Stream, n)
	for i := range n {
		near[i], far[i] = r.stream(p.dialed, p.accepted)
	}
	taken := make([]int64, n)
	r.each(n, func(i int) { taken[i] = r.fill(near[i], pattern(i), 16<<10) })
	total := int64(0)
	for _, k := range taken {
		total += k
	}
	if limit := r.maxBuffered(); limit > 0 && total > limit {
		r.fatalf("%d bytes written to %d streams that nobody reads, want at most %d", total, n, limit)
	}
	r.each(n, func(i int) {
		r.closeWrite(near[i])
		r.receive(far[i], pattern(i), int(taken[i]))
		r.close(near[i])
		r.close(far[i])
	})
	r.serveConn(p.accepted)
	r.echo(r.openStream(p.dialed), 7, r.scale(2<<20))
}

const (
	smallWrites     = 32 << 10
	smallWritesHeap = 24 << 20
)

// smallWritesAreBounded writes single bytes that nobody reads. What each costs
// to hold must be in proportion.
func smallWritesAreBounded(r *run) {
	p := r.pair()
	r.obey(rule{"Stream", "is one ordered, flow-controlled byte stream"})
	near, far := r.stream(p.dialed, p.accepted)
	before := heap()
	var n int64
	for b := make([]byte, 1); n < smallWrites; n++ {
		if n%64 == 0 {
			r.writeDeadline(near, time.Now().Add(10*stall))
		}
		pattern(1).fill(b, n)
		_, err := near.Write(b)
		scribble(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			r.fatalf("Write(1 byte) = %v after %d of them, want nil", err, n)
		}
	}
	if grown := heap() - before; grown > smallWritesHeap {
		r.fatalf("%d bytes that were written singly and not read hold %d bytes of memory, want at most %d", n, grown, smallWritesHeap)
	}
	r.writeDeadline(near, time.Time{})
	r.closeWrite(near)
	r.receive(far, 1, int(n))
}

// heap returns the size of what is reachable.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// discardedReturnsRoom gives up streams with data that was never read: in
// total more than connections have room for.
func discardedReturnsRoom(r *run) {
	p := r.pair()
	r.obey(rule{"Stream.Close", "Unread input is discarded."})
	for i := range r.scale(640) {
		near, far := r.stream(p.dialed, p.accepted)
		r.writeDeadline(near, time.Now().Add(stall))
		if _, err := near.Write(make([]byte, 64<<10)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			r.fatalf("Write() = %v, want nil", err)
		}
		switch i % 4 {
		case 0:
			r.close(far)
			r.close(near)
		case 1:
			near.Reset(kith.Aborted)
			r.close(far)
		case 2:
			far.Reset(kith.Aborted)
			near.Reset(kith.Aborted)
		case 3:
			r.closeWrite(near)
			r.close(near)
			r.close(far)
		}
	}
	r.serveConn(p.accepted)
	r.echo(r.openStream(p.dialed), 7, r.scale(2<<20))
}

// A way is one of those in which a blocked Write ends.
type way struct {
	what   string
	rule   rule
	end    func(p pair, near, far transport.Stream)
	expect func(what string, err error)
}

func (r *run) ways() []way {
	here, there := ends(kith.Aborted, "enough")
	return []way{
		{
			"SetWriteDeadline",
			rule{"Stream.SetWriteDeadline", writeDeadline},
			func(_ pair, near, _ transport.Stream) { r.writeDeadline(near, past()) },
			func(what string, err error) {
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					r.fatalf("%s = %v, want os.ErrDeadlineExceeded", what, err)
				}
			},
		},
		{
			"Reset",
			rule{"Stream.Reset", "aborts both directions"},
			func(_ pair, near, _ transport.Stream) { near.Reset(kith.Aborted) }, r.expectClosed,
		},
		{
			"Close",
			rule{"Stream.Close", "unblocks Read and Write"},
			func(_ pair, near, _ transport.Stream) { r.close(near) }, r.expectClosed,
		},
		{
			"Reset at the other side",
			rule{"Stream.Write", "it fails with a [*StreamError]"},
			func(_ pair, _, far transport.Stream) { far.Reset(kith.Aborted) },
			func(what string, err error) { r.expectReset(what, err, kith.Aborted) },
		},
		{
			"Close at the other side",
			rule{"Stream.Write", "it fails with a [*StreamError]"},
			func(_ pair, _, far transport.Stream) { r.close(far) }, r.expectRemote,
		},
		{
			"CloseWithError",
			rule{"Conn.CloseWithError", "It unblocks everything at once"},
			func(p pair, _, _ transport.Stream) { r.closeConn(p.dialed, here.Code, here.Reason) },
			func(what string, err error) { r.expectConnErr(what, err, here) },
		},
		{
			"CloseWithError at the other end",
			rule{"Conn.CloseWithError", "It unblocks everything at once"},
			func(p pair, _, _ transport.Stream) { r.closeConn(p.accepted, there.Code, there.Reason) },
			func(what string, err error) { r.expectConnErr(what, err, there) },
		},
		{"Transport.Close", rule{"Transport.Close", closeEndsAll}, // the last one: there is no dialling after it
			func(pair, transport.Stream, transport.Stream) { r.closeTransport(r.Dialer) }, r.expectClosed},
	}
}

// blockedWriteUnblocks ends a Write that the other side grants no room, in
// every way there is. What arrives must be what was written, although the
// slice changes as soon as Write has returned.
func blockedWriteUnblocks(r *run) {
	l := r.listen()
	for _, w := range r.ways() {
		p := r.connect(l)
		near, far := r.stream(p.dialed, p.accepted)
		n := r.fill(near, 1, 10_007) // whose last Write is likely to be taken in part
		r.obey(w.rule)
		blocked := r.start(func() { w.expect("Write() that is blocked, at "+w.what, writeUntil(near, 1, n)) })
		r.letBlock()
		w.end(p, near, far)
		blocked.wait()
		if context.Cause(p.dialed.Context()) == nil {
			r.obey(rule{"Stream.Write", "It does not keep p after it returned, also where it returned early."})
			_ = near.CloseWrite() // fails where the stream has ended
			_, _ = r.drain(far, 1, 0)
		}
		r.hangUp(p)
	}
}
