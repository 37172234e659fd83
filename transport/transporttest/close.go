package transporttest

import (
	"github.com/kith-go/kith"
)

var closeCases = []testCase{
	{"DeliversSmall", closeDeliversSmall},
	{"DeliversLarge", closeDeliversLarge},
	{"DeliversToWhoStillWrites", closeDeliversToWriter},
	{"BeforeCloseWriteResets", closeBeforeCloseWrite},
	{"WithoutAnswerResets", closeWithoutAnswer},
	{"IdempotentAndConcurrent", closeConcurrently},
	{"UnblocksReadAndWrite", closeUnblocks},
	{"NotStuckBehindUnread", closeBehindUnread},
	{"StopsTheOtherWriter", closeStopsWriter},
}

const nothingLost = "After CloseWrite nothing that was written is lost"

// closeDeliversSmall lets the other side look only when the writer is gone.
func closeDeliversSmall(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Close", nothingLost})
		for i := range 200 {
			n := 1 + i*i%3000
			near := r.openStream(side.from)
			r.write(near, pattern(i).bytes(n))
			r.closeWrite(near)
			r.close(near)
			far := r.acceptStream(side.to)
			r.receive(far, pattern(i), n)
			r.close(far)
		}
	}
}

func closeDeliversLarge(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Close", nothingLost})
		for i := range 4 {
			n := r.scale(3<<20 + i)
			near, far := r.stream(side.from, side.to)
			r.all(func() {
				r.send(near, pattern(i), n)
				r.closeWrite(near)
				r.close(near)
			}, func() {
				r.receive(far, pattern(i), n)
			})
			r.close(far)
		}
	}
}

// closeDeliversToWriter closes on a side that goes on writing: that it is not
// read any more must not cost it what it has yet to read.
func closeDeliversToWriter(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Close", nothingLost})
		for i := range 20 {
			n := 1 + i*500
			near, far := r.stream(side.from, side.to)
			r.write(near, pattern(i).bytes(n))
			r.closeWrite(near)
			r.close(near)
			_ = writeUntil(far, 0, 0)
			r.receive(far, pattern(i), n)
			r.close(far)
		}
	}
}

func closeBeforeCloseWrite(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Close", "before it the write side is reset with [kith.Canceled]"})
		for _, n := range []int{0, 1, 10_000} {
			near, far := r.stream(side.from, side.to)
			r.write(near, pattern(n).bytes(n))
			r.close(near)
			_, err := r.drain(far, pattern(n), 0)
			r.expectReset("Read() after Close without CloseWrite at the other side", err, kith.Canceled)
			r.close(far)
		}
	}
}

// closeWithoutAnswer is the handler that reads a request and returns.
func closeWithoutAnswer(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Close", "before it the write side is reset with [kith.Canceled]"})
		near, far := r.stream(side.from, side.to)
		r.closeWrite(near)
		r.expectEOF(far)
		r.close(far)
		_, err := near.Read(make([]byte, 1))
		r.expectReset("Read() after Close without CloseWrite at the other side", err, kith.Canceled)
		r.close(near)
	}
}

func closeConcurrently(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Close", "It is idempotent"})
		for i := range 20 {
			near, far := r.stream(side.from, side.to)
			r.write(near, pattern(i).bytes(5000))
			r.each(4, func(int) { r.closeWrite(near) })
			r.each(8, func(int) { r.close(near) })
			r.close(near)
			r.receive(far, pattern(i), 5000)
			r.each(8, func(int) { r.close(far) })
		}
	}
}

func closeUnblocks(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		for i := range 10 {
			r.obey(rule{"Stream.Close", "unblocks Read and Write"})
			near, far := r.stream(side.from, side.to)
			if i == 0 {
				r.fill(near, 5, 16<<10)
			}
			reader := r.start(func() {
				_, err := near.Read(make([]byte, 10))
				r.expectClosed("Read() at Close", err)
			})
			writer := r.start(func() {
				r.expectClosed("Write() at Close", writeUntil(near, 6, 0))
			})
			if i%2 == 0 { // the others race with Reads and Writes that begin
				r.letBlock()
			}
			r.close(near)
			reader.wait()
			writer.wait()
			_, err := near.Read(make([]byte, 10))
			r.expectClosed("Read() after Close", err)
			r.close(far)
		}
	}
}

// closeBehindUnread finishes streams on which nothing can be sent any more.
func closeBehindUnread(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.CloseWrite", "does not wait for the other side"})
		near, far := r.stream(side.from, side.to)
		n := r.fill(near, 1, 16<<10)
		r.closeWrite(near)
		r.obey(rule{"Stream.Close", "does not wait for the other side"})
		r.close(near)
		r.obey(rule{"Stream.Close", nothingLost})
		r.receive(far, 1, int(n))
		r.close(far)

		r.obey(rule{"Stream.Close", "does not wait for the other side"})
		near, far = r.stream(side.from, side.to)
		r.fill(near, 2, 16<<10)
		r.close(near)
		_, err := r.drain(far, 2, 0)
		r.obey(rule{"Stream.Close", "before it the write side is reset with [kith.Canceled]"})
		r.expectReset("Read() after Close without CloseWrite at the other side", err, kith.Canceled)
		r.close(far)
	}
}

func closeStopsWriter(r *run) {
	p := r.pair()
	for _, side := range p.sides() {
		r.obey(rule{"Stream.Write", "by Close before it read all) it fails with a [*StreamError]"})
		near, far := r.stream(side.from, side.to)
		writer := r.start(func() {
			r.expectRemote("Write() after Close at the other side", writeUntil(near, 1, 0))
		})
		r.letBlock()
		r.closeWrite(far)
		r.close(far)
		writer.wait()
		r.obey(rule{"Stream.Close", nothingLost})
		r.expectEOF(near)
		r.close(near)
	}
}
