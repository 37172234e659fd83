package transporttest

import (
	"context"
	"errors"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

var limitCases = []testCase{
	{"OpenStreamHonoursCtx", openAtLimitHonoursCtx},
	{"FinishedGivesBack", finishedGivesBack},
	{"OpenStreamWaits", openWaitsForRoom},
}

const waitsAtLimit = "It waits only while the other side's limit of open streams is reached"

// reachLimit opens as many streams as may be, and returns both ends of all.
func (r *run) reachLimit(from, to transport.Conn, less int) (near, far []transport.Stream) {
	if r.MaxStreams < 0 {
		r.skip("Setup.MaxStreams says that there is no limit")
	}
	for range r.streamLimit(1<<30) - less {
		n, f := r.stream(from, to)
		near, far = append(near, n), append(far, f)
	}
	return near, far
}

func openAtLimitHonoursCtx(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Conn.OpenStream", waitsAtLimit})
		r.reachLimit(side.from, side.to, 0)
		ctx, cancel := context.WithTimeout(r.ctx, stall/4)
		if _, err := side.from.OpenStream(ctx); !errors.Is(err, context.DeadlineExceeded) {
			r.fatalf("OpenStream(ctx that ends) at the limit of %d streams = %v, want context.DeadlineExceeded",
				r.streamLimit(1<<30), err)
		}
		cancel()
		ctx, cancel = context.WithCancel(r.ctx)
		blocked := r.start(func() {
			if _, err := side.from.OpenStream(ctx); !errors.Is(err, context.Canceled) {
				r.fatalf("OpenStream(ctx that is cancelled) at the limit = %v, want context.Canceled", err)
			}
		})
		r.letBlock()
		cancel()
		blocked.wait()
	}
}

// finishedGivesBack opens and finishes streams in all ways, with all other
// room taken, so that each needs the room of the one before.
func finishedGivesBack(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Conn.OpenStream", waitsAtLimit})
		r.reachLimit(side.from, side.to, 1)
		for i := range 60 {
			near, far := r.stream(side.from, side.to)
			switch i % 7 {
			case 0:
				r.finishStream(near, far)
			case 1:
				near.Reset(kith.Aborted)
				r.close(far)
			case 2:
				far.Reset(kith.Aborted)
				r.close(near)
			case 3:
				r.close(near)
				r.close(far)
			case 4:
				r.closeWrite(near)
				r.close(near)
				r.close(far)
			case 5:
				r.closeWrite(far)
				r.close(far)
				r.expectEOF(near)
				r.close(near)
			case 6:
				near.Reset(kith.Aborted)
				far.Reset(kith.Aborted)
			}
		}
	}
}

// openWaitsForRoom has several calls wait at the limit, and gives them room.
func openWaitsForRoom(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Conn.OpenStream", waitsAtLimit})
		near, far := r.reachLimit(side.from, side.to, 0)
		n := min(4, len(near))
		waiting := make([]*task, n)
		for i := range n {
			waiting[i] = r.start(func() { r.write(r.openStream(side.from), []byte{1}) })
		}
		r.letBlock()
		for i := range n {
			r.finishStream(near[i], far[i])
		}
		for _, w := range waiting {
			w.wait()
		}
		for range n {
			r.expect(r.acceptStream(side.to), []byte{1})
		}
	}
}
