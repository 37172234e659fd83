package netconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/internal/mux"
	"github.com/kith-go/kith/transport"
)

// client makes a connection of a pipe, as the end that dials. It owns raw.
func (t *Transport) client(ctx context.Context, raw Pipe, a transport.Addr, cfg *tls.Config) (*mux.Conn, error) {
	link, info, err := t.secure(ctx, raw, cfg, true)
	if err == nil {
		if info.Remote.Host == "" && info.Remote.Path == "" {
			info.Remote.Host, info.Remote.Path = a.Host, a.Path
		}
		err = transport.CheckPeer(a, info)
	}
	if err != nil {
		_ = raw.Close()
		return nil, t.closedOr(err)
	}
	return t.newConn(link, info)
}

// secure does the handshake on a pipe, or nothing if cfg is nil. It returns
// the link for the mux, and what is known of it.
func (t *Transport) secure(ctx context.Context, raw Pipe, cfg *tls.Config, dialed bool) (Pipe, transport.Info, error) {
	if pc, ok := raw.(pipeConn); ok {
		raw = pc.Pipe // the mux looks at what it is by itself
	}
	nc := PipeConn(raw)
	info := transport.Info{
		Transport: t.cfg.Scheme, Dialed: dialed,
		Local: t.addr(nc.LocalAddr()).WithID(t.ID()), Remote: t.addr(nc.RemoteAddr()),
	}
	hctx := ctx
	if t.cfg.HandshakeTimeout > 0 {
		var cancel context.CancelFunc
		hctx, cancel = context.WithTimeout(ctx, t.cfg.HandshakeTimeout)
		defer cancel()
	}
	if cfg == nil {
		return raw, info, t.handshakeErr(ctx, hctx, greet(hctx, raw, dialed))
	}
	if systemSocket(nc) {
		nc = &readAheadConn{Conn: nc}
	}
	tc := tls.Server(nc, cfg)
	if dialed {
		tc = tls.Client(nc, cfg)
	}
	if err := tc.HandshakeContext(hctx); err != nil {
		return nil, info, t.handshakeErr(ctx, hctx, err)
	}
	state := tc.ConnectionState()
	info.TLS = &state
	if state.NegotiatedProtocol != transport.ALPN {
		return nil, info, fmt.Errorf("protocol %q negotiated, want %q", state.NegotiatedProtocol, transport.ALPN)
	}
	proven := identity.Peer
	if t.cfg.TLS == nil {
		proven = identity.Proven
	}
	var err error
	if info.Peer, err = proven(&state); err != nil {
		return nil, info, err
	}
	info.Remote.ID = info.Peer
	if info.Binding, err = identity.Binding(&state); err != nil {
		return nil, info, err
	}
	return &tlsLink{Conn: tc, raw: raw}, info, nil
}

// greet is the handshake of a plaintext link: the end that dials says its
// preface at once, so that the end that accepts can tell it from a stranger.
func greet(ctx context.Context, raw Pipe, dialed bool) error {
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	err := exchangePreface(raw, dialed)
	if !stop() {
		return ctx.Err() // raw is closed, or about to be
	}
	return err
}

func exchangePreface(raw Pipe, dialed bool) error {
	if dialed {
		_, err := io.WriteString(raw, mux.Preface)
		return err
	}
	var b [len(mux.Preface)]byte
	for n := 0; n < len(b); {
		k, err := raw.Read(b[n:])
		if n += k; k > 0 {
			err = mux.CheckPreface(b[:n])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// handshakeErr makes the error of a handshake one that says what was wrong.
// hctx is ctx with the timeout.
func (t *Transport) handshakeErr(ctx, hctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var mismatch *identity.MismatchError
	var record tls.RecordHeaderError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case hctx.Err() != nil:
		return fmt.Errorf("handshake not done in %v: %w", t.cfg.HandshakeTimeout, os.ErrDeadlineExceeded)
	case errors.As(err, &mismatch):
		return &transport.PeerError{Want: mismatch.Want, Got: mismatch.Got}
	case errors.As(err, &record) && record.Conn != nil:
		return &ProtocolError{Got: record.RecordHeader[:], Hint: mux.Recognize(record.RecordHeader[:])}
	case errors.As(err, &record):
		if hint := mux.Recognize(record.RecordHeader[:]); hint != "" {
			return &ProtocolError{Got: record.RecordHeader[:], Hint: hint}
		}
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("handshake: %w", err)
}

// refuse says a last word on a pipe whose handshake failed at the accepting
// end, in the protocol of the other side, where crypto/tls said none. The pipe
// may be closed then: it is what bounds the time that this takes.
func refuse(raw Pipe, plaintext bool, err error) {
	var proto *ProtocolError
	late := time.AfterFunc(refuseWait, func() { _ = raw.Close() })
	defer late.Stop()
	defer linger(raw)
	if !errors.As(err, &proto) {
		return
	}
	switch {
	case plaintext:
		_, _ = raw.Write(mux.Refusal(kith.Internal, "this is kith in plaintext"))
	case strings.HasPrefix(proto.Hint, "kith"):
		_, _ = raw.Write([]byte("\x15\x03\x03\x00\x02\x02\x28")) // a TLS alert: handshake_failure
	case proto.Hint == "HTTP":
		_, _ = io.WriteString(raw, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nThis is kith, not HTTP.\n")
	}
}

// refuseWait bounds the last words to an end whose handshake failed.
const refuseWait = 500 * time.Millisecond

// linger lets the other side read what was written last, before a reset for
// what it wrote meanwhile can destroy it.
func linger(raw Pipe) {
	if closeWrite(raw) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(raw, 64<<10))
	}
}

// alertCode is the code for a failure of an established link. In TLS 1.3 the
// dialling end is done before the other one has judged its certificate, so a
// refusal comes as an alert when the connection is in use.
func alertCode(err error) kith.Code {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" || op.Err == nil {
		return kith.OK
	}
	text := op.Err.Error()
	switch {
	case strings.Contains(text, "certificate"):
		return kith.Unauthenticated
	case strings.Contains(text, "access denied"):
		return kith.PermissionDenied
	}
	return kith.OK
}

// A tlsLink is a TLS connection as the link of a mux, whose close is its own
// affair: it does not need, and must not wait for, that of TLS.
type tlsLink struct {
	*tls.Conn
	raw Pipe
}

func (l *tlsLink) Close() error { return l.raw.Close() }

func (l *tlsLink) CloseWrite() error {
	err := l.Conn.CloseWrite()
	if err == nil {
		err = closeWrite(l.raw)
	}
	return err
}

// systemSocket reports whether a Read of the link that its deadline ended can
// be repeated for certain, TLS above it included.
func systemSocket(link any) bool {
	switch l := link.(type) {
	case *tlsLink:
		return systemSocket(l.raw)
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}
