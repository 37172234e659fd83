package transporttest

import (
	"errors"
	"reflect"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
)

var identityCases = []testCase{
	{"BothEnds", identityBothEnds},
	{"Binding", bindingIsShared},
	{"WrongPeer", wrongPeer},
	{"NoIdentity", noIdentityFailsClosed},
}

const plaintext = "the transport proves no identities"

func identityBothEnds(r *run) {
	if r.NoIdentity {
		r.skip(plaintext)
	}
	l := r.listen()
	p := r.connect(l)
	r.obey(rule{"Info.Peer", "is the identity that the other side proved"})
	if got, want := p.dialed.Info().Peer, l.Addr().ID; got != want {
		r.fatalf("Info().Peer where dialled = %v, want Listener.Addr().ID = %v", got, want)
	}
	want := r.DialerID
	if want.IsZero() && same(r.Dialer, r.Listener) {
		want = l.Addr().ID
	}
	got := p.accepted.Info().Peer
	if got.IsZero() {
		r.fatalf("Info().Peer where accepted = zero, want the ID of the end that dialled")
	}
	if !want.IsZero() && got != want {
		r.fatalf("Info().Peer where accepted = %v, want %v", got, want)
	}
	r.obey(rule{"Info.Local", "Local has the ID that this side proved"})
	for _, end := range [][2]transport.Info{{p.dialed.Info(), p.accepted.Info()}, {p.accepted.Info(), p.dialed.Info()}} {
		if near, far := end[0], end[1]; near.Local.ID != far.Peer {
			r.fatalf("Info().Local.ID = %v at the end with Dialed %v, want Info().Peer of the other end = %v", near.Local.ID, near.Dialed, far.Peer)
		}
	}
}

// same reports whether both are one transport; not all can be compared.
func same(a, b transport.Transport) bool {
	return reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

func bindingIsShared(r *run) {
	l := r.listen()
	r.obey(rule{"Info.Binding", "is the same at both ends and shared by no other connection"})
	seen := make(map[[32]byte]bool)
	for range 4 {
		p := r.connect(l)
		d, a := p.dialed.Info().Binding, p.accepted.Info().Binding
		if d != a {
			r.fatalf("Info().Binding = %x where dialled and %x where accepted", d, a)
		}
		if d == [32]byte{} {
			if r.NoIdentity {
				r.skip("the transport makes no binding")
			}
			r.fatalf("Info().Binding is zero on a connection that proves identities")
		}
		if seen[d] {
			r.fatalf("Info().Binding = %x on two connections", d)
		}
		seen[d] = true
	}
}

func wrongPeer(r *run) {
	if r.NoIdentity {
		r.skip(plaintext)
	}
	l := r.listen()
	r.obey(rule{"Transport.Dial", "the other side must have proven that identity, else Dial fails with a [*PeerError]"})
	other := kith.NewKey().ID()
	_, err := r.Dialer.Dial(r.ctx, l.Addr().WithID(other))
	var wrong *transport.PeerError
	if !errors.As(err, &wrong) {
		r.fatalf("Dial(the address with another ID) = %v, want a *PeerError", err)
	}
	if wrong.Want != other || wrong.Got != l.Addr().ID {
		r.fatalf("Dial(the address with another ID) = %+v, want Want %v and Got %v", wrong, other, l.Addr().ID)
	}
	r.nothingAccepted(l)
}

// nothingAccepted checks that the next connection to be accepted is one that
// is dialled only now.
func (r *run) nothingAccepted(l transport.Listener) {
	r.obey(rule{"Listener.Accept", "A set-up that fails or hangs is not reported here and holds nobody else up."})
	p := r.connect(l)
	near := r.openStream(p.dialed)
	r.write(near, []byte("new"))
	far, err := p.accepted.AcceptStream(r.ctx)
	if err != nil {
		r.fatalf("AcceptStream() = %v on what Accept returned after a set-up that came to nothing, want the connection of a later dial", err)
	}
	r.expect(far, []byte("new"))
}

func noIdentityFailsClosed(r *run) {
	switch {
	case r.NoIdentity:
		r.skip(plaintext)
	case r.DialsWithoutID:
		r.skip("the transport has another way to tell who answers")
	}
	l := r.listen()
	r.obey(rule{"Transport.Dial", "fails with an error matching [ErrNoIdentity] before it sends anything"})
	_, err := r.Dialer.Dial(r.ctx, l.Addr().WithID(kith.ID{}))
	if !errors.Is(err, transport.ErrNoIdentity) {
		r.fatalf("Dial(an address without ID) = %v, want ErrNoIdentity", err)
	}
	r.nothingAccepted(l)
}
