package quic

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/transport"
	quicgo "github.com/quic-go/quic-go"
)

// codeOf reads an error code from the wire, where it may have 62 bits.
func codeOf(n uint64) kith.Code {
	if n > math.MaxUint32 {
		return kith.Unknown
	}
	return kith.Code(n)
}

// connError says how a connection ended, from what quic-go gives as the cause.
func connError(cause error) *transport.ConnError {
	if app, ok := errors.AsType[*quicgo.ApplicationError](cause); ok {
		return &transport.ConnError{
			Code:   codeOf(uint64(app.ErrorCode)),
			Reason: app.ErrorMessage[:min(len(app.ErrorMessage), transport.MaxReason)],
			Remote: app.Remote,
		}
	}
	e := &transport.ConnError{Code: kith.Unavailable, Err: describe(cause)}
	if te, ok := errors.AsType[*quicgo.TransportError](cause); ok {
		e.Remote = te.Remote
	}
	return e
}

// A linkError is a failure of QUIC or TLS, in words. errors.As finds what it
// is made of. It does not unwrap, because quic-go's errors all match
// net.ErrClosed, and a dial that failed did not meet something closed.
type linkError struct {
	text    string
	cause   error
	timeout bool
}

func (e *linkError) Error() string  { return e.text }
func (e *linkError) Timeout() bool  { return e.timeout }
func (e *linkError) As(to any) bool { return errors.As(e.cause, to) }

// describe says what a failure underneath means.
func describe(err error) error {
	e := &linkError{cause: err}
	var te *quicgo.TransportError
	switch {
	case isType[*quicgo.IdleTimeoutError](err):
		e.text, e.timeout = "nothing heard from the other side", true
	case isType[*quicgo.HandshakeTimeoutError](err):
		e.text, e.timeout = "handshake took too long", true
	case isType[*quicgo.StatelessResetError](err):
		e.text = "the other side does not know the connection any more; it may have restarted"
	case isType[*quicgo.VersionNegotiationError](err):
		e.text = err.Error()
	case errors.As(err, &te) && te.ErrorCode.IsCryptoError():
		e.text = describeTLS(te)
	case errors.As(err, &te):
		e.text = describeQUIC(te)
	default:
		return err
	}
	return e
}

func isType[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func describeQUIC(te *quicgo.TransportError) string {
	if te.ErrorCode == quicgo.ConnectionRefused && te.Remote {
		return "refused by the other side: it is closing, or has too many handshakes to do"
	}
	who := "QUIC error here"
	if te.Remote {
		who = "QUIC error at the other side"
	}
	if te.ErrorMessage == "" {
		return fmt.Sprintf("%s: %v", who, te.ErrorCode)
	}
	return fmt.Sprintf("%s: %v: %s", who, te.ErrorCode, quoteCut(te.ErrorMessage))
}

// TLS alerts that say something about how the two ends are set up (RFC 8446,
// section 6), as quic-go's codes have them.
const (
	alertCode       = 0x100
	alertBadCert    = 42
	alertUnknownCA  = 48
	alertNoALPN     = 120
	alertNeedsCert  = 116
	alertLastOfCert = 46 // from alertBadCert on: unsupported, revoked, expired, unknown
)

func describeTLS(te *quicgo.TransportError) string {
	alert := te.ErrorCode - alertCode
	if !te.Remote {
		for _, cause := range te.Unwrap() {
			if cause != nil && cause != net.ErrClosed {
				return "TLS: " + cause.Error()
			}
		}
		return "TLS: " + te.ErrorCode.Message()
	}
	switch {
	case alert == alertNoALPN:
		return "the other side does not speak " + strconv.Quote(transport.ALPN)
	case alert == alertNeedsCert:
		return "the other side asks for a certificate: configure a key, or one in TLS"
	case alert >= alertBadCert && alert <= alertLastOfCert, alert == alertUnknownCA:
		return "the other side refused our certificate (" + te.ErrorCode.Message() + ")"
	}
	return "TLS at the other side: " + te.ErrorCode.Message()
}

// dialError says why an attempt to dial failed.
func dialError(err error) error {
	if m, ok := errors.AsType[*identity.MismatchError](err); ok {
		return &transport.PeerError{Want: m.Want, Got: m.Got}
	}
	if isType[*quicgo.IdleTimeoutError](err) {
		return &linkError{text: fmt.Sprintf("no answer within %v", handshakeTimeout), cause: err, timeout: true}
	}
	if app, ok := errors.AsType[*quicgo.ApplicationError](err); ok {
		e := connError(app)
		return &linkError{text: e.Error(), cause: e}
	}
	return describe(err)
}

// quoteCut quotes text from outside for an error or a log, cut to a readable
// length.
func quoteCut(s string) string {
	if len(s) > transport.MaxReason {
		return strconv.Quote(s[:transport.MaxReason]) + "..."
	}
	return strconv.Quote(s)
}
