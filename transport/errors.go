package transport

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/kith-go/kith"
)

// ErrClosed is matched by every operation on a stream, connection, listener
// or transport that is closed, on whichever side. It matches [net.ErrClosed].
var ErrClosed error = closedError{}

type closedError struct{}

func (closedError) Error() string { return "closed" }
func (closedError) Unwrap() error { return net.ErrClosed }

// ErrNoIdentity is matched by the error of a dial that could not tell whom to
// trust: its address has no ID, and the transport has no CA.
var ErrNoIdentity = errors.New("no way to tell who answers: put the server's ID into the address (scheme://ID@host), " +
	"or configure TLS with the CA that signed its certificate")

// A ConnError says how a connection ended. It is the cause of the
// connection's context, and in the chain of every error of its streams from
// then on. It matches [ErrClosed].
type ConnError struct {
	// Code and Reason are what the side that closed gave; where the link
	// failed, [kith.Unavailable] and no reason. A remote Reason is text from
	// outside: quote it.
	Code   kith.Code
	Reason string
	// Remote is true if the other side closed the connection.
	Remote bool
	// Err is the failure underneath, nil after an orderly close.
	Err error
}

// Error describes the end of the connection, quoting the remote reason.
func (e *ConnError) Error() string {
	who := "here"
	if e.Remote {
		who = "by the other side"
	}
	switch {
	case e.Err != nil:
		return fmt.Sprintf("connection lost: %v", e.Err)
	case e.Reason != "":
		return fmt.Sprintf("connection closed %s: %v: %q", who, e.Code, e.Reason)
	}
	return fmt.Sprintf("connection closed %s: %v", who, e.Code)
}

// Unwrap makes a ConnError match [ErrClosed] and its Err.
func (e *ConnError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrClosed}
	}
	return []error{ErrClosed, e.Err}
}

// A StreamError says that a stream was aborted, by Reset on either side or by
// Close before CloseWrite.
type StreamError struct {
	// Code is what the side that aborted gave.
	Code kith.Code
	// Remote is true if the other side aborted.
	Remote bool
}

// Error describes who aborted the stream, and with what code.
func (e *StreamError) Error() string {
	if e.Remote {
		return fmt.Sprintf("stream reset by the other side: %v", e.Code)
	}
	return fmt.Sprintf("stream reset here: %v", e.Code)
}

// Is makes a stream that was ended on this side match [ErrClosed].
func (e *StreamError) Is(target error) bool {
	return !e.Remote && (target == ErrClosed || target == net.ErrClosed)
}

// A PeerError says that another identity answered than the one asked for.
type PeerError struct {
	// Want is the ID in the address, Got the one that was proven; zero if none was.
	Want, Got kith.ID
}

// Error names both identities.
func (e *PeerError) Error() string {
	if e.Got.IsZero() {
		return fmt.Sprintf("wrong peer: want %v, got one that proved no identity", e.Want)
	}
	return fmt.Sprintf("wrong peer: want %v, got %v", e.Want, e.Got)
}

// CheckPeer compares the ID in the dialled address, if it has one, with the
// identity that the connection's other side proved. It returns nil or a
// [*PeerError]. Whoever dials through a Transport calls it, whatever the
// transport claims to have checked.
func CheckPeer(a Addr, info Info) error {
	if a.ID.IsZero() || a.ID == info.Peer {
		return nil
	}
	return &PeerError{Want: a.ID, Got: info.Peer}
}

// ConnErr returns the [*ConnError] that ended the connection of ctx (see
// [Conn.Context]), nil if it has not ended.
func ConnErr(ctx context.Context) *ConnError {
	var e *ConnError
	if errors.As(context.Cause(ctx), &e) {
		return e
	}
	return nil
}
