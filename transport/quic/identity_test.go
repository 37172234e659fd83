package quic_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/quic"
	quicgo "github.com/quic-go/quic-go"
)

// A constantSigner signs everything with the same bytes, which is all that it
// takes to speak for a key of low order.
type constantSigner struct{ pub ed25519.PublicKey }

func (s constantSigner) Public() crypto.PublicKey { return s.pub }
func (s constantSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return append([]byte{1}, make([]byte, 63)...), nil
}

func lowOrder() crypto.Signer {
	return constantSigner{append([]byte{1}, make([]byte, 31)...)}
}

// certificate makes a self-signed certificate for localhost.
func certificate(t *testing.T, key crypto.Signer) tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatalf("CreateCertificate() = %v", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// rawServer is a QUIC server of somebody else, which accepts anybody.
func rawServer(t *testing.T, conf *tls.Config) transport.Addr {
	t.Helper()
	conf.ClientAuth = tls.RequestClientCert
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &quicgo.Transport{Conn: pc}
	t.Cleanup(func() {
		tr.Close()
		pc.Close()
	})
	if _, err := tr.Listen(conf, nil); err != nil {
		t.Fatalf("quic-go Listen() = %v", err)
	}
	return transport.Addr{Scheme: quic.Scheme, Host: pc.LocalAddr().String()}
}

func TestStrangeServers(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	d := quic.New(quic.Config{})
	defer d.Close()
	want := kith.NewKey().ID()
	var low kith.ID
	low[0] = 1
	for _, tt := range []struct {
		name   string
		key    crypto.Signer
		protos []string
		want   string
		wrong  bool // a PeerError
	}{
		{"low order", lowOrder(), []string{transport.ALPN}, "wrong peer", true},
		{"P-256", p256, []string{transport.ALPN}, "wrong peer", true},
		{"another key", kith.NewKey(), []string{transport.ALPN}, "wrong peer", true},
		{"HTTP/3", kith.NewKey(), []string{"h3"}, `does not speak "kith/1"`, false},
	} {
		a := rawServer(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, tt.key)}, NextProtos: tt.protos})
		_, err := d.Dial(t.Context(), a.WithID(want))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Dial(%s) = %v, want %q", tt.name, err, tt.want)
		}
		var pe *transport.PeerError
		if errors.As(err, &pe) != tt.wrong || pe != nil && pe.Want != want {
			t.Errorf("Dial(%s) = %v, want a PeerError: %v", tt.name, err, tt.wrong)
		}
		if errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial(%s) = %v, want one that does not match net.ErrClosed", tt.name, err)
		}
	}
	if _, err := d.Dial(t.Context(), transport.Addr{ID: low, Host: "127.0.0.1:1"}); err == nil || !strings.Contains(err.Error(), "low-order") {
		t.Errorf("Dial(address with a low-order ID) = %v, want an error that says so", err)
	}
}

func TestStrangeClients(t *testing.T) {
	var out syncBuffer
	s := quic.New(quic.Config{Logger: slog.New(slog.NewTextHandler(&out, nil))})
	defer s.Close()
	l, err := s.Listen(t.Context(), transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		keys   []crypto.Signer
		protos []string
	}{
		{"low order", []crypto.Signer{lowOrder()}, []string{transport.ALPN}},
		{"no certificate", nil, []string{transport.ALPN}},
		{"HTTP/3", []crypto.Signer{kith.NewKey()}, []string{"h3"}},
	} {
		conf := &tls.Config{InsecureSkipVerify: true, NextProtos: tt.protos}
		for _, k := range tt.keys {
			conf.Certificates = append(conf.Certificates, certificate(t, k))
		}
		qc, err := quicgo.DialAddr(t.Context(), l.Addr().Host, conf, nil)
		if err == nil { // a client learns only later how it was judged
			<-qc.Context().Done()
			err = context.Cause(qc.Context())
		}
		var te *quicgo.TransportError
		if !errors.As(err, &te) || !te.Remote {
			t.Errorf("connection with %s ended with %v, want an error from the server", tt.name, err)
		}
	}
	good := quic.New(quic.Config{})
	defer good.Close()
	_, c := dialAndAccept(t, good, l)
	if got := c.Info().Peer; got != good.ID() {
		t.Errorf("Accept() returned %v first, want the good client %v", got, good.ID())
	}
	s.Close()
	if n := strings.Count(out.String(), "handshake failed"); n != 3 {
		t.Errorf("%d messages about failed handshakes, want 3:\n%s", n, out.String())
	}
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestCA(t *testing.T) {
	cert := certificate(t, kith.NewKey())
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	server := quic.New(quic.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}})
	defer server.Close()
	l, err := server.Listen(t.Context(), transport.Addr{Host: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if !l.Addr().ID.IsZero() {
		t.Errorf("Addr().ID = %v in CA mode, want zero", l.Addr().ID)
	}
	_, port := l.Addr().SplitHostPort()
	name := transport.Addr{Scheme: quic.Scheme, Host: net.JoinHostPort("localhost", big.NewInt(int64(port)).String())}
	key := kith.NewKey()

	for _, tt := range []struct {
		name string
		cfg  quic.Config
		addr transport.Addr
		peer kith.ID // that the server sees
		want string
	}{
		{"by address", quic.Config{TLS: &tls.Config{RootCAs: pool}}, l.Addr(), kith.ID{}, ""},
		{"by name", quic.Config{TLS: &tls.Config{RootCAs: pool}}, name, kith.ID{}, ""},
		{"with a key", quic.Config{TLS: &tls.Config{RootCAs: pool}, Key: key}, l.Addr(), key.ID(), ""},
		{"unknown authority", quic.Config{TLS: &tls.Config{RootCAs: x509.NewCertPool()}}, l.Addr(), kith.ID{}, "certificate signed by unknown authority"},
		{"another name", quic.Config{TLS: &tls.Config{RootCAs: pool, ServerName: "example.com"}}, l.Addr(), kith.ID{}, "example.com"},
		{"no CA", quic.Config{}, l.Addr(), kith.ID{}, "no way to tell who answers"},
		{"pinned", quic.Config{TLS: &tls.Config{RootCAs: pool}}, l.Addr().WithID(key.ID()), kith.ID{}, "wrong peer"},
		{"old TLS", quic.Config{TLS: &tls.Config{MaxVersion: tls.VersionTLS12}}, l.Addr(), kith.ID{}, "MaxVersion"},
	} {
		d := quic.New(tt.cfg)
		c, err := d.Dial(t.Context(), tt.addr)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("Dial() %s = %v, want %q", tt.name, err, tt.want)
		}
		if err == nil {
			accepted, err := l.Accept(t.Context())
			if err != nil {
				t.Fatalf("Accept() = %v", err)
			}
			if got := accepted.Info().Peer; got != tt.peer {
				t.Errorf("Info().Peer %s = %v, want %v", tt.name, got, tt.peer)
			}
			if b := c.Info().Binding; b == ([32]byte{}) || b != accepted.Info().Binding {
				t.Errorf("Info().Binding %s = %x and %x, want both the same", tt.name, b, accepted.Info().Binding)
			}
		}
		d.Close()
	}
	if _, err := quic.New(quic.Config{TLS: &tls.Config{}}).Listen(t.Context(), transport.Addr{Host: ":0"}); err == nil {
		t.Error("Listen() without a certificate = nil, want an error")
	}
}

// A server that trusts by CA, and has a key and no certificate, is dialled by
// its ID.
func TestKeyInCAMode(t *testing.T) {
	key := kith.NewKey()
	server := quic.New(quic.Config{Key: key, TLS: &tls.Config{ClientAuth: tls.RequireAnyClientCert}})
	d := quic.New(quic.Config{})
	p := connect(t, d, server, "127.0.0.1:0")
	if got := p.listener.Addr().ID; got != key.ID() {
		t.Errorf("Addr().ID = %v, want %v", got, key.ID())
	}
	if got := p.accepted.Info().Peer; got != d.ID() {
		t.Errorf("Info().Peer = %v, want %v", got, d.ID())
	}
}
