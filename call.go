package kith

import (
	"context"
	"maps"
)

// A Call is one call as a [Handler] sees it, before decoding. On the side that
// serves, Recv gives what the caller sends, and Send answers. On the side that
// calls, Send gives the request, and Recv the answer. Middleware that wants to
// see or change messages replaces Messages before it calls the next Handler.
type Call struct {
	// Method is what is called. Access checks and dispatch use this one value.
	Method *Method
	// Metadata is what the caller attached. It must not be changed.
	Metadata Metadata
	// Codec is what the messages are encoded with.
	Codec Codec
	// Peer is who is at the other end. It must not be changed. It is nil on the
	// calling side while no connection has been chosen.
	Peer *Peer
	// Messages sends and receives.
	Messages
}

// Messages is the exchange of a call's encoded messages, seen from one end.
// One goroutine may receive while another sends.
type Messages interface {
	// Recv returns the other side's next message, io.EOF after the last, or
	// what ended the call. On the serving side the bytes are valid until the
	// next Recv or the handler's return; on the calling side they belong to the
	// caller.
	Recv() ([]byte, error)
	// Send sends a message and does not keep p. It blocks while the other side
	// is slow to read. On the calling side an error is io.EOF where the call has
	// ended: Recv tells how.
	Send(p []byte) error
	// CloseSend says that no message follows. A handler's return does so too.
	CloseSend() error
}

// A Handler carries out a call: on the serving side it runs the method, on
// the calling side it brings the call to the other end. It returns when the
// call is over. Where it serves, only an authored [*Error] reaches the caller
// as it is.
type Handler func(ctx context.Context, c Call) error

// A Middleware wraps a Handler, for all kinds of methods alike and on both
// sides.
type Middleware func(next Handler) Handler

// Chain returns h wrapped so that the first Middleware is the outermost.
func Chain(h Handler, mw ...Middleware) Handler {
	for i := len(mw) - 1; i >= 0; i-- {
		h = mw[i](h)
	}
	return h
}

// A Peer is the other end of a connection, as it proved itself.
type Peer struct {
	// ID is the identity that the connection proved, zero if none.
	ID ID
	// Name and Groups are what admission said of it; empty where it says nothing.
	Name   string
	Groups []string
	// Addr is the address it is connected from, for logs.
	Addr string
}

// A Caller makes calls: a client, a node's peer, the other end of the
// connection that a handler was called over ([CallerFrom]). Programs make
// calls through typed descriptors, not by these methods; whoever implements
// them (a fake, a proxy) gets every kind of method. They may be called from
// any number of goroutines.
type Caller interface {
	// Invoke makes a unary call or sends a notification. It returns when the
	// outcome is known or ctx ended, for a notification when the message is
	// handed on. It does not keep r.Body; the answer belongs to the caller.
	Invoke(ctx context.Context, r Request) ([]byte, error)
	// Open starts a call of a streaming kind, ignoring r.Body. The end of ctx
	// cancels the call. Whoever opened it must Close it.
	Open(ctx context.Context, r Request) (CallStream, error)
}

// A CallStream is the calling end of a streaming call.
type CallStream interface {
	Messages
	// Close ends the use of the call, cancelling it if it is still going on. It
	// is idempotent and may be called from any goroutine.
	Close() error
}

// A Request is what a [Caller] needs to know of a call.
type Request struct {
	// Method is what to call.
	Method *Method
	// Codec encoded Body, and decodes the answer.
	Codec Codec
	// Body is the encoded message of a unary call or a notification.
	Body []byte
	// Metadata goes to the handler.
	Metadata Metadata
	// Trailer, if not nil, receives the answer's metadata before the call ends.
	Trailer *Metadata
	// WaitForReady makes the call wait for a connection until ctx ends, where
	// it would fail as no address answers. It does not wait where all that answer
	// refuse this side.
	WaitForReady bool
}

// A CallOption refines one call.
type CallOption func(*Request)

// WithMetadata attaches metadata to the call. Given twice, the later keys win.
func WithMetadata(md Metadata) CallOption {
	return func(r *Request) { r.Metadata = r.Metadata.merge(md) }
}

// Trailer stores the metadata of the answer in md when the call has ended.
func Trailer(md *Metadata) CallOption { return func(r *Request) { r.Trailer = md } }

// WithCodec encodes the call's messages with c, but for those of type []byte.
func WithCodec(c Codec) CallOption { return func(r *Request) { r.Codec = c } }

// WaitForReady makes the call wait for a connection until its ctx ends, where
// it would fail at once as no address answers. Where every address answers, and
// refuses this side ([PermissionDenied], [Unauthenticated]), waiting does not
// help: the call fails with that.
func WaitForReady() CallOption { return func(r *Request) { r.WaitForReady = true } }

// request takes the options by value, so that a call without any allocates
// nothing for them.
func (m *Method) request(opts []CallOption) Request {
	r := Request{Method: m, Codec: m.codec}
	if len(opts) > 0 {
		r = applyOptions(r, opts)
	}
	return r
}

func applyOptions(r Request, opts []CallOption) Request {
	for _, o := range opts {
		o(&r)
	}
	return r
}

// Metadata is what travels beside the messages of a call: from the caller
// with the request, from the handler with the outcome. Keys are 1 to 64
// characters of a-z, 0-9, '-', '_' and '.'; values are any bytes. There may be
// 256 keys, and all of it together may take 16 KiB. It says nothing of who sent
// it: identity is in [PeerFrom] only. All keys and values that came with a call share
// memory: who keeps one of them for long keeps a copy, see [strings.Clone].
type Metadata map[string]string

func (m Metadata) merge(more Metadata) Metadata {
	out := make(Metadata, len(m)+len(more))
	for _, part := range []Metadata{m, more} {
		maps.Copy(out, part)
	}
	return out
}
