package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/wire"
	"github.com/kith-go/kith/transport/admit"
)

func (s *Session) appendHelloLocked(t wire.FrameType, h *wire.Hello) {
	s.appendLocked(func(dst []byte) []byte {
		start := len(dst)
		return wire.EndLane(h.Append(wire.AppendLane(dst, t)), start)
	})
}

// onHello carries out the other side's first frame. It may take as long as
// admission does: nothing else can come on this connection meanwhile.
func (s *Session) onHello(t wire.FrameType, body []byte) error {
	if len(body) > wire.MaxHello {
		return fmt.Errorf("hello of %d bytes, at most %d", len(body), wire.MaxHello)
	}
	switch {
	case s.dialed && t == wire.FrameRefuse:
		return s.onRefuse(body)
	case s.dialed && t == wire.FrameWelcome, !s.dialed && t == wire.FrameHello:
	default:
		return fmt.Errorf("first frame of type %d", t)
	}
	h, err := wire.ParseHello(body)
	if err != nil {
		return err
	}
	if err := s.judge(h); err != nil {
		return s.refuse(err)
	}
	h.Proof = nil
	s.remote = h
	s.admitted.Store(true)
	s.mu.Lock()
	s.out.live = true
	s.out.max = max(1, h.LaneCalls)
	if !s.dialed {
		mine := s.cfg.hello()
		mine.Proof = s.read.proof
		s.read.pairing.addTo(&mine)
		s.appendHelloLocked(wire.FrameWelcome, &mine)
	}
	s.wakeAllLocked()
	s.mu.Unlock()
	close(s.ready)
	if !s.pushed && !s.accepting {
		s.loops.Go(s.acceptLoop)
	}
	return nil
}

// judge decides whether to go on with the other side. On the accepting side
// it also gets what to present. A policy that panics admits nobody.
func (s *Session) judge(h wire.Hello) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &panicError{value: r, stack: debug.Stack()}
			s.cfg.Logger.Error("admission policy panicked", slog.String("err", cutText(err.Error())), slog.String("stack", string(debug.Stack())))
		}
	}()
	if h.Version != wire.Version {
		return kith.NewError(kith.FailedPrecondition, "version",
			fmt.Sprintf("protocol version %d is not spoken here, but %d", h.Version, wire.Version))
	}
	info := s.conn.Info()
	peer := &kith.Peer{ID: info.Peer, Addr: info.Remote.String()}
	if s.cfg.Admit != nil {
		ctx, cancel := context.WithTimeout(s.conn.Context(), s.cfg.HelloTimeout)
		defer cancel()
		grant, err := s.cfg.Admit.Admit(ctx, info, h.Proof)
		if err != nil {
			return err
		}
		peer.Name, peer.Groups = grant.Name, grant.Groups
		if !s.dialed {
			if s.read.proof, err = s.cfg.Admit.Present(ctx, info); err != nil {
				return err
			}
			if len(s.read.proof) > wire.MaxProof {
				return errProof
			}
		}
	}
	s.peer = peer
	return s.pair(h)
}

var errProof = fmt.Errorf("the policy presents more than %d bytes", wire.MaxProof)

// maxRefusal is the length at which the text of a refusal is cut, so that it
// fits hello.
const maxRefusal = 1 << 10

// refuse tells the other side that it is not admitted, and lets nothing more
// through. It closes only when the other side has read that: closing drops
// what is unsent. Until then, and for the hello timeout at most, Accept holds
// the connection.
func (s *Session) refuse(why error) error {
	told := admit.ErrRefused
	var e *kith.Error
	if errors.As(why, &e) && !kith.Remote(why) {
		told = e
	}
	s.read.refused = true
	f := wire.FailOf(told.WithMessage("%.*s", maxRefusal, told.Message()))
	if f.Unprocessed = true; len(f.Details) > maxRefusal {
		f.Details = nil
	}
	s.mu.Lock()
	s.out.refusal = &Failure{code: told.Code(), what: "admit the other side", cause: why, unprocessed: true}
	if !s.dialed {
		s.appendLocked(func(dst []byte) []byte {
			start := len(dst)
			return wire.EndLane(f.Append(wire.AppendLane(dst, wire.FrameRefuse)), start)
		})
	}
	s.wakeAllLocked()
	s.mu.Unlock()
	if s.dialed {
		go s.killHandler(told.Code(), told.Message())
	}
	return nil
}

// onRefuse takes the other side's refusal. Hanging up says that it was read.
func (s *Session) onRefuse(body []byte) error {
	f, err := wire.ParseFail(body)
	if err != nil {
		return err
	}
	f.Unprocessed = true
	s.read.refused = true
	s.mu.Lock()
	s.out.refusal = f.Err()
	s.wakeAllLocked()
	s.mu.Unlock()
	go s.killHandler(kith.OK, "refused")
	return nil
}
