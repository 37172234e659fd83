package session

import (
	"context"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport"
)

// A Pairing is what hello says so that two peers keep one connection:
// docs/wire.md, section 4.
type Pairing struct {
	// Attempt is, in hello, the number of this connection among those that its
	// sender dialled to this peer, in welcome the last that its sender dialled.
	Attempt uint64
	// Holds are the connections to this peer that the dialler has or is making,
	// at most MaxHolds.
	Holds []Held
	// Eager says that the dialler wants a neighbour and has no call to make.
	Eager bool
}

// Held names a connection as the sender of hello sees it.
type Held = wire.Held

// MaxHolds is how many connections a Pairing lists at most.
const MaxHolds = wire.MaxHolds

// A Pairer takes part in accepting connections from peers.
type Pairer interface {
	// Judge is called on the accepting side when admission has let the other side
	// in, before it is told, and before it can call. It returns what welcome says. An error
	// refuses the connection as one of the admission policy does. What remote
	// holds is Judge's to keep. It must not call s's methods but Info.
	Judge(s *Session, remote Remote) (Pairing, error)

	// Instance is the one that this side's hellos have, dialled or accepted.
	Instance() [8]byte
}

// A Remote is what the other side's hello or welcome said of it.
type Remote struct {
	Instance [8]byte
	Pairing
}

// DialPaired is [Dial] for a peer: hello says p.
func DialPaired(ctx context.Context, conn transport.Conn, cfg *Config, p Pairing) (*Session, error) {
	s, err := start(ctx, conn, cfg, p)
	if err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		_ = s.Close(kith.Canceled, "hello not finished")
		return nil, err
	}
	return s, nil
}

// Remote returns what the other side's hello said. It may be called once hello
// is over.
func (s *Session) Remote() Remote { return remoteOf(s.remote) }

func remoteOf(h wire.Hello) Remote {
	return Remote{Instance: h.Instance, Pairing: Pairing{Attempt: h.Attempt, Holds: h.Holds, Eager: h.Eager}}
}

// addTo makes h say p.
func (p *Pairing) addTo(h *wire.Hello) {
	h.Attempt, h.Holds, h.Eager = p.Attempt, p.Holds, p.Eager
}

// pair asks the Pairer, on the accepting side.
func (s *Session) pair(h wire.Hello) error {
	if s.cfg.Pairer == nil || s.dialed {
		return nil
	}
	p, err := s.cfg.Pairer.Judge(s, remoteOf(h))
	s.read.pairing = p
	return err
}
