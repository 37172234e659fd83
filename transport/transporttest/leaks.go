package transporttest

import (
	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/leak"
)

var leakCases = []testCase{
	{"Conns", connsLeaveNothing},
	{"Streams", streamsLeaveNothing},
	{"FailedDials", failedDialsLeaveNothing},
}

// leakRepeats is how often a case repeats what may leak. Less than that many
// goroutines and sockets may be there afterwards: a transport's own, that it
// makes when it first needs them, do not grow with use.
const leakRepeats = 20

// expectSettled checks that fewer things than were done are left over.
func (r *run) expectSettled(before leak.Inventory, what string) {
	if text, ok := before.Settle(leakRepeats/2, r.IgnoreGoroutines); !ok {
		r.fatalf("left behind by %d %s:\n%s", leakRepeats, what, leak.Cut(text))
	}
}

func connsLeaveNothing(r *run) {
	l := r.listen()
	use := func() {
		p := r.connect(l)
		near, far := r.stream(p.dialed, p.accepted)
		r.write(near, []byte("left over"))
		r.closeWrite(far)
		r.hangUp(p)
	}
	use()
	r.obey(rule{"Conn.CloseWithError", "returns after the connection's last goroutine"})
	before := leak.Take()
	for range leakRepeats {
		use()
	}
	r.expectSettled(before, "connections, closed at both ends")
}

func streamsLeaveNothing(r *run) {
	p := r.pair()
	use := func() {
		near, far := r.stream(p.dialed, p.accepted)
		r.finishStream(near, far)
		near, far = r.stream(p.accepted, p.dialed)
		near.Reset(kith.Aborted)
		r.close(far)
	}
	use()
	r.obey(rule{"Stream", "must finish it with Close or Reset"})
	before := leak.Take()
	for range leakRepeats {
		use()
	}
	r.expectSettled(before, "streams, finished by both sides")
}

func failedDialsLeaveNothing(r *run) {
	if r.NoIdentity {
		r.skip(plaintext)
	}
	l := r.listen()
	wrong := l.Addr().WithID(kith.NewKey().ID())
	use := func() {
		if _, err := r.Dialer.Dial(r.ctx, wrong); err == nil {
			r.fatalf("Dial(the address with another ID) = nil, want an error")
		}
	}
	use()
	r.obey(rule{"Transport.Dial", "else Dial fails with a [*PeerError]"})
	before := leak.Take()
	for range leakRepeats {
		use()
	}
	r.expectSettled(before, "dials that failed")
}
