// Package identity turns a kith key into TLS certificates, and what the other
// side presented into an identity.
//
// In key mode both ends present a self-signed certificate whose public key is
// their ID. Nothing else in the certificate counts. TLS itself proves that the
// other side holds the private key; this package checks the form of the
// certificate and, at the dialling end, that the key is the one asked for.
// In CA mode ([CustomTLS]) the user's tls.Config decides who is trusted.
package identity

import (
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"

	"github.com/kith-go/kith"
)

// ALPN is the application protocol that both ends must agree on. It equals
// transport.ALPN, which this package may not import.
const ALPN = "kith/1"

// bindingLabel is the exporter label of [Binding] (RFC 8446, section 7.5).
const bindingLabel = "EXPORTER-kith-binding"

var (
	errResumed  = errors.New("resumed session, which proves no identity")
	errUnproven = errors.New("handshake that proves no identity")
)

// A MismatchError says that another identity answered than the one asked for.
type MismatchError struct {
	// Want is the ID that was dialled, Got the one that was proven; zero if
	// none was.
	Want, Got kith.ID
}

// Error names both identities.
func (e *MismatchError) Error() string {
	if e.Got.IsZero() {
		return fmt.Sprintf("wrong identity: want %v, got none", e.Want)
	}
	return fmt.Sprintf("wrong identity: want %v, got %v", e.Want, e.Got)
}

// A Holder makes the configs of key mode for one key, whose certificate it issues
// once: that takes as long as a tenth of a handshake. Its methods may be called from
// any number of goroutines.
type Holder struct {
	Key *kith.Key

	once sync.Once
	cert tls.Certificate
	err  error
}

// config returns what both ends share.
func (h *Holder) config() (*tls.Config, error) {
	h.once.Do(func() { h.cert, h.err = issue(h.Key) })
	if h.err != nil {
		return nil, h.err
	}
	c := &tls.Config{Certificates: []tls.Certificate{h.cert}}
	harden(c)
	return c, nil
}

// ServerTLS returns the config of the accepting end in key mode: TLS 1.3 with
// the key's certificate, for clients that prove an identity of their own and
// speak [ALPN]. There are no tickets, so every connection proves it anew. The
// result is the caller's. Read the client's identity with [Proven].
func (h *Holder) ServerTLS() (*tls.Config, error) {
	c, err := h.config()
	if err != nil {
		return nil, err
	}
	c.ClientAuth = tls.RequireAnyClientCert
	// Not VerifyPeerCertificate, which resumption skips.
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := checkConnection(&cs); err != nil {
			return err
		}
		// Who signed the certificate means nothing: TLS proves who holds the key.
		pub, err := certificateKey(cs.PeerCertificates)
		if err == nil {
			_, err = kith.IDFromPublicKey(pub)
		}
		if err != nil {
			return fmt.Errorf("peer certificate: %w", err)
		}
		return nil
	}
	return c, nil
}

// ClientTLS returns the config of the dialling end in key mode: TLS 1.3 with
// the key's certificate, to a server that proves to be want and speaks [ALPN].
// When another identity answers, or something that proves none, the handshake
// fails with a [*MismatchError].
// A want that is zero, or no good key, is an error. It sends no server name
// unless the caller sets one; an ID must never be in it, since anybody on the
// way can read it. The result is the caller's.
func (h *Holder) ClientTLS(want kith.ID) (*tls.Config, error) {
	if want.IsZero() {
		return nil, errors.New("no identity to expect")
	}
	if _, err := kith.IDFromPublicKey(want.PublicKey()); err != nil {
		return nil, err
	}
	c, err := h.config()
	if err != nil {
		return nil, err
	}
	c.InsecureSkipVerify = true // VerifyConnection does more: it pins one key
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if err := checkConnection(&cs); err != nil {
			return err
		}
		if pub, err := certificateKey(cs.PeerCertificates); err == nil && kith.ID(pub) == want {
			return nil
		}
		got, err := certificateID(cs.PeerCertificates)
		if err != nil {
			return fmt.Errorf("peer certificate: %w: %w", err, &MismatchError{Want: want})
		}
		return &MismatchError{Want: want, Got: got}
	}
	return c, nil
}

// Proven is [Peer] for a handshake with a config that a [Holder] made. That has
// checked the certificate, so it is read here and not checked again, which would take
// another tenth of the handshake.
func Proven(cs *tls.ConnectionState) (kith.ID, error) {
	if !cs.HandshakeComplete || cs.DidResume || len(cs.PeerCertificates) != 1 {
		return kith.ID{}, errUnproven
	}
	pub, ok := cs.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return kith.ID{}, errUnproven
	}
	return kith.ID(pub), nil
}

// Peer returns the identity that the other side proved in a finished
// handshake. It is zero, with a nil error, if the other side presented no
// certificate or one that is not an identity certificate, such as one that a
// CA signed. An error means a handshake that proves nothing: unfinished,
// resumed, or made with a key that anyone can sign for.
func Peer(cs *tls.ConnectionState) (kith.ID, error) {
	if !cs.HandshakeComplete {
		return kith.ID{}, errors.New("handshake not complete")
	}
	return peer(cs)
}

// peer is Peer for a handshake that is about to be complete.
func peer(cs *tls.ConnectionState) (kith.ID, error) {
	if cs.DidResume {
		return kith.ID{}, errResumed
	}
	id, err := certificateID(cs.PeerCertificates)
	switch {
	case err == nil:
		return id, nil
	case errors.Is(err, errNoCertificate), errors.Is(err, errNotIdentity):
		return kith.ID{}, nil
	}
	return kith.ID{}, fmt.Errorf("peer certificate: %w", err)
}

// Binding returns 32 bytes that are the same at both ends of the connection
// and that no other connection shares (RFC 9266 has the idea), from the TLS
// exporter.
func Binding(cs *tls.ConnectionState) ([32]byte, error) {
	b, err := cs.ExportKeyingMaterial(bindingLabel, nil, 32)
	if err != nil {
		return [32]byte{}, fmt.Errorf("channel binding: %w", err)
	}
	return [32]byte(b), nil
}

// harden sets what holds in both modes.
func harden(c *tls.Config) {
	c.MinVersion = tls.VersionTLS13
	c.NextProtos = []string{ALPN}
	c.SessionTicketsDisabled = true
	c.ClientSessionCache = nil
}

// checkConnection checks what does not depend on the certificate. The protocol
// needs it at both ends: without an ALPN extension from the other side,
// crypto/tls goes on with no protocol at all.
func checkConnection(cs *tls.ConnectionState) error {
	if cs.NegotiatedProtocol != ALPN {
		return fmt.Errorf("protocol %q, want %q", cs.NegotiatedProtocol, ALPN)
	}
	if cs.DidResume {
		return errResumed
	}
	return nil
}
