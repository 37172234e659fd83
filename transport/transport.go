// Package transport defines what carries kith's calls: connections between
// two authenticated ends, each with many independent byte streams.
//
// A [Transport] dials and listens. A [Conn] is symmetric: either end opens
// streams. A [Stream] is ordered, flow-controlled and half-closable. Package
// transporttest says whether an implementation keeps the rules written here;
// package netconn makes a Transport out of anything like a net.Conn.
package transport

import (
	"context"
	"crypto/tls"
	"io"
	"time"

	"github.com/kith-go/kith"
)

// ALPN is the application protocol that every TLS-based transport negotiates.
const ALPN = "kith/1"

// A Transport makes connections. Its methods may be called at once from any
// number of goroutines.
type Transport interface {
	// Dial connects to a. The end of ctx ends only the attempt, with an error
	// that matches ctx.Err(). If a has an ID, the other side must have proven
	// that identity, else Dial fails with a [*PeerError]. If a has none and
	// nothing else is configured that tells who may answer (a CA, say), Dial
	// fails with an error matching [ErrNoIdentity] before it sends anything.
	Dial(ctx context.Context, a Addr) (Conn, error)

	// Listen accepts connections at a, whose ID is ignored and whose zero
	// port, where there are ports, means any free one. The end of ctx ends
	// only the set-up.
	Listen(ctx context.Context, a Addr) (Listener, error)

	// Close ends all listeners and connections of the transport, and returns
	// after the last of its goroutines. It is idempotent. Dial and Listen
	// fail with [ErrClosed] from then on.
	Close() error
}

// A Listener accepts connections. Its methods may be called at once from any
// number of goroutines.
type Listener interface {
	// Accept returns the next connection whose set-up, including the proof of
	// both identities, is complete. A set-up that fails or hangs is not
	// reported here and holds nobody else up. After Close, and once the
	// Transport is closed, Accept fails with [ErrClosed]; any other error is
	// passing, and Accept may be called again after a pause. The end of ctx
	// ends this call only.
	Accept(ctx context.Context) (Conn, error)

	// Addr returns the address that reaches this listener when dialled from
	// the same host, with its ID where it has one.
	Addr() Addr

	// Close stops accepting and unblocks Accept. Connections that were
	// accepted live on; those nobody accepted yet are closed. It is idempotent.
	Close() error
}

// A ClientVerifier is a [Listener] that can say whether it checks clients'
// certificates against a CA. A server without an admission policy listens only
// where it does.
type ClientVerifier interface {
	// VerifiesClients reports whether a certificate that a client shows must be
	// signed by a CA that the listener was given.
	VerifiesClients() bool
}

// A Conn is a connection between two ends, both of which open and accept
// streams. Its methods may be called at once from any number of goroutines.
// It ends with [Conn.CloseWithError] on either side or when the link fails;
// that ends its Context, all of its streams, and every call blocked on it.
//
// A Conn that wraps another one may say so: see [ConnWrapper].
type Conn interface {
	// OpenStream opens a stream. It waits only while the other side's limit
	// of open streams is reached, and until ctx ends at the longest. The other
	// side may see the stream only when something happens on it: a byte, a
	// half-close, a reset.
	OpenStream(ctx context.Context) (Stream, error)

	// AcceptStream returns the next stream that the other side opened. On
	// some transports nothing was written to it yet. The end of ctx ends this
	// call only.
	AcceptStream(ctx context.Context) (Stream, error)

	// Context ends with the connection. Its cause is a [*ConnError].
	Context() context.Context

	// CloseWithError ends the connection, telling the other side code and
	// reason (cut at [MaxReason] bytes) if it can still be reached. The first
	// call decides, and later ones do nothing. It unblocks everything at
	// once, does not wait for the other side, drops what was written and not
	// yet sent, and returns after the connection's last goroutine.
	CloseWithError(code kith.Code, reason string) error

	// Info describes the connection. It does not change, but for Remote and
	// Local where the transport can move a live connection.
	Info() Info
}

// MaxReason is the length in bytes at which a close reason is cut.
const MaxReason = 256

// A Stream is one ordered, flow-controlled byte stream of a [Conn]. One
// goroutine may read while another writes; neither side may be shared further.
// All other methods may be called from any goroutine at any time. Whoever
// opened or accepted a Stream must finish it with Close or Reset. Closing its
// Conn unblocks both sides with an error matching [ErrClosed].
type Stream interface {
	// Read returns io.EOF only after the other side's CloseWrite, never on
	// truncation. After a Reset by the other side it fails with a
	// [*StreamError], which may overtake data not yet read.
	io.Reader

	// Write blocks while the other side grants no room. It does not keep p
	// after it returned, also where it returned early. After the other side
	// stopped reading (by Reset, or by Close before it read all) it fails with
	// a [*StreamError]; what was written before may be lost then.
	io.Writer

	// CloseWrite half-closes: the other side reads what was written, then
	// io.EOF. It is idempotent and does not wait for the other side.
	CloseWrite() error

	// Close ends the use of the stream. After CloseWrite nothing that was
	// written is lost; before it the write side is reset with [kith.Canceled].
	// Unread input is discarded. It is idempotent, unblocks Read and Write,
	// does not wait for the other side, and is right for defer.
	Close() error

	// Reset aborts both directions: pending data is dropped, and the other
	// side sees a [*StreamError] with code and Remote set. After Close or
	// Reset it does nothing.
	Reset(code kith.Code)

	// SetReadDeadline makes a Read that is blocked at t, now or later, fail
	// with an error matching os.ErrDeadlineExceeded; the stream stays usable.
	// The zero time means never.
	SetReadDeadline(t time.Time) error

	// SetWriteDeadline does for Write what SetReadDeadline does for Read. How
	// much was written is what Write returned.
	SetWriteDeadline(t time.Time) error
}

// A ConnWrapper is a [Conn] that wraps another one, to count, delay or log what
// passes, say, and declares that a session may reach past it. Package netconn
// then hands small calls over without a stream and a goroutine between, and
// the wrapper does not see them; it does see every stream. Of a Conn without
// Unwrap only the methods of Conn are used, so that everything passes through
// it, small calls too, on the first stream that the dialling end opens.
//
// The two ends need not agree on it. Wrapping does not change what a wrapper
// has to keep: all the rules of Conn, and of [Stream] if it wraps those.
type ConnWrapper interface {
	Conn

	// Unwrap returns the Conn that is wrapped, always the same.
	Unwrap() Conn
}

// Info describes a [Conn].
type Info struct {
	// Transport is the scheme of the transport's addresses, "quic" say.
	Transport string
	// Local and Remote are the two ends' addresses. Remote has the ID that
	// the other side proved, if it proved one. Local has the ID that this side
	// proved, if it proved one: what the other side finds in its Peer.
	Local, Remote Addr
	// Peer is the identity that the other side proved, zero if it proved none.
	Peer kith.ID
	// TLS is the state of the TLS handshake, nil where there was none.
	TLS *tls.ConnectionState
	// Dialed is true at the end that dialled.
	Dialed bool
	// Binding is the same at both ends and shared by no other connection, so
	// that a proof made for one cannot be used on another (RFC 9266). It is zero
	// where the transport cannot make one.
	Binding [32]byte
}

// A LastWriter is a [Stream] that can put data and half-close into one frame.
type LastWriter interface {
	// WriteLast is Write of p, then CloseWrite if all of p was written.
	WriteLast(p []byte) error
}

// WriteLast writes p to s and half-closes it, in one frame where s is a
// [LastWriter]. It does not keep p.
func WriteLast(s Stream, p []byte) error {
	if lw, ok := s.(LastWriter); ok {
		return lw.WriteLast(p)
	}
	if len(p) > 0 {
		if _, err := s.Write(p); err != nil {
			return err
		}
	}
	return s.CloseWrite()
}
