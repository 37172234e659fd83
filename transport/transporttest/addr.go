package transporttest

import (
	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

var addrCases = []testCase{
	{"RoundTrip", addrRoundTrip},
	{"ListenIgnoresID", listenIgnoresID},
	{"Info", infoTellsTheEnds},
}

// addrRoundTrip dials what the text of a listener's address parses to.
func addrRoundTrip(r *run) {
	l := r.listen()
	r.obey(rule{"Addr", "[ParseAddr] and [Addr.String] are inverse"})
	a, err := transport.ParseAddr(l.Addr().String())
	if err != nil {
		r.fatalf("ParseAddr(%q) = %v, want nil", l.Addr().String(), err)
	}
	if a != l.Addr() {
		r.fatalf("ParseAddr(%q) = %#v, want Listener.Addr() = %#v", l.Addr().String(), a, l.Addr())
	}
	r.obey(rule{"Listener.Addr", "returns the address that reaches this listener when dialled from the same host, with its ID where it has one"})
	if a.ID.IsZero() && !r.NoIdentity {
		r.fatalf("Addr() = %v, which has no ID", a)
	}
	var p pair
	r.all(
		func() { p.dialed = r.dial(a) },
		func() { p.accepted = r.accept(l) },
	)
	for _, side := range p.sides() {
		near, far := r.stream(side.from, side.to)
		r.finishStream(near, far)
	}
}

func listenIgnoresID(r *run) {
	r.obey(rule{"Transport.Listen", "accepts connections at a, whose ID is ignored"})
	l, err := r.Listener.Listen(r.ctx, r.Addr.WithID(kith.NewKey().ID()))
	if err != nil {
		r.fatalf("Listen(an address with some ID) = %v, want nil", err)
	}
	p := r.connect(l)
	if got, want := p.dialed.Info().Peer, l.Addr().ID; got != want {
		r.fatalf("Info().Peer = %v, want Listener.Addr().ID = %v", got, want)
	}
}

func infoTellsTheEnds(r *run) {
	l := r.listen()
	p := r.connect(l)
	d, a := p.dialed.Info(), p.accepted.Info()
	r.obey(rule{"Info.Dialed", "is true at the end that dialled"})
	if !d.Dialed || a.Dialed {
		r.fatalf("Info().Dialed = %v where dialled and %v where accepted, want true and false", d.Dialed, a.Dialed)
	}
	r.obey(rule{"Info.Transport", `is the scheme of the transport's addresses, "quic" say`})
	if d.Transport != l.Addr().Scheme || a.Transport != d.Transport {
		r.fatalf("Info().Transport = %q where dialled and %q where accepted, want Listener.Addr().Scheme = %q",
			d.Transport, a.Transport, l.Addr().Scheme)
	}
	r.obey(rule{"Info.Local", "Remote has the ID that the other side proved, if it proved one."})
	for _, i := range []transport.Info{d, a} {
		if i.Remote.ID != i.Peer {
			r.fatalf("Info().Remote.ID = %v, want Info().Peer = %v", i.Remote.ID, i.Peer)
		}
	}
	r.obey(rule{"Conn.Info", "It does not change, but for Remote and Local where the transport can move a live connection."})
	again := p.dialed.Info()
	again.Local, again.Remote, again.TLS = d.Local, d.Remote, d.TLS
	if again != d {
		r.fatalf("Info() = %+v, want %+v as before", again, d)
	}
}
