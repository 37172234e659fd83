package identity_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
	"github.com/kith-go/kith/transport"
)

func TestALPN(t *testing.T) {
	if identity.ALPN != transport.ALPN {
		t.Fatalf("identity.ALPN = %q, want transport.ALPN %q", identity.ALPN, transport.ALPN)
	}
}

// handshake runs a TLS handshake over loopback.
func handshake(t *testing.T, client, server *tls.Config) (c, s tls.ConnectionState, cerr, serr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return handshakeOver(a, b, client, server)
}

// handshakeOver runs a TLS handshake, and sends the client one byte behind it,
// so that it too learns how it was judged.
func handshakeOver(a, b net.Conn, client, server *tls.Config) (c, s tls.ConnectionState, cerr, serr error) {
	done := make(chan struct{})
	tc, ts := tls.Client(a, client), tls.Server(b, server)
	go func() {
		defer close(done)
		defer b.Close()
		if serr = ts.Handshake(); serr == nil {
			s = ts.ConnectionState()
			_, serr = ts.Write([]byte{1})
		}
	}()
	if cerr = tc.Handshake(); cerr == nil {
		c = tc.ConnectionState()
		_, cerr = io.ReadFull(tc, make([]byte, 1))
	}
	a.Close()
	<-done
	return c, s, cerr, serr
}

func serverTLS(t *testing.T, key *kith.Key) *tls.Config {
	t.Helper()
	c, err := (&identity.Holder{Key: key}).ServerTLS()
	if err != nil {
		t.Fatalf("ServerTLS(key) = %v", err)
	}
	return c
}

func clientTLS(t *testing.T, key *kith.Key, want kith.ID) *tls.Config {
	t.Helper()
	c, err := (&identity.Holder{Key: key}).ClientTLS(want)
	if err != nil {
		t.Fatalf("ClientTLS(key, want) = %v", err)
	}
	return c
}

func customTLS(t *testing.T, base *tls.Config, key *kith.Key, server bool) *tls.Config {
	t.Helper()
	c, err := identity.CustomTLS(base, key, server)
	if err != nil {
		t.Fatalf("CustomTLS(base, key, %v) = %v", server, err)
	}
	return c
}

func checkProven(t *testing.T, who string, cs *tls.ConnectionState, want kith.ID) {
	t.Helper()
	if got, err := identity.Peer(cs); err != nil || got != want {
		t.Errorf("Peer(%s) = %v, %v, want %v", who, got, err, want)
	}
}

func TestMutual(t *testing.T) {
	ck, sk := kith.NewKey(), kith.NewKey()
	c, s, cerr, serr := handshake(t, clientTLS(t, ck, sk.ID()), serverTLS(t, sk))
	if cerr != nil || serr != nil {
		t.Fatalf("handshake = %v, %v, want no errors", cerr, serr)
	}
	checkProven(t, "client's state", &c, sk.ID())
	checkProven(t, "server's state", &s, ck.ID())
	for cs, want := range map[*tls.ConnectionState]kith.ID{&c: sk.ID(), &s: ck.ID()} {
		if got, err := identity.Proven(cs); err != nil || got != want {
			t.Errorf("Proven() = %v, %v, want %v", got, err, want)
		}
	}
	cb, cerr := identity.Binding(&c)
	sb, serr := identity.Binding(&s)
	if cerr != nil || serr != nil || cb != sb || cb == [32]byte{} {
		t.Errorf("Binding = %x, %v and %x, %v, want both equal", cb, cerr, sb, serr)
	}
	if s.ServerName != "" {
		t.Errorf("server name sent = %q, want none", s.ServerName)
	}
	if c.Version != tls.VersionTLS13 || c.NegotiatedProtocol != identity.ALPN {
		t.Errorf("negotiated %s and %q", tls.VersionName(c.Version), c.NegotiatedProtocol)
	}
	c2, _, _, _ := handshake(t, clientTLS(t, ck, sk.ID()), serverTLS(t, sk))
	if b2, err := identity.Binding(&c2); err != nil || b2 == cb {
		t.Errorf("Binding of a second connection = %x, %v, want another than the first's", b2, err)
	}
}

func TestWrongPeer(t *testing.T) {
	ck, sk, want := kith.NewKey(), kith.NewKey(), kith.NewKey().ID()
	_, _, cerr, serr := handshake(t, clientTLS(t, ck, want), serverTLS(t, sk))
	var m *identity.MismatchError
	if !errors.As(cerr, &m) || m.Want != want || m.Got != sk.ID() {
		t.Errorf("client handshake = %v, want a MismatchError of %v and %v", cerr, want, sk.ID())
	}
	if serr == nil {
		t.Error("server handshake = nil, want an error")
	}
}

func TestBadArguments(t *testing.T) {
	if _, err := (&identity.Holder{Key: kith.NewKey()}).ClientTLS(kith.ID{}); err == nil {
		t.Error("ClientTLS(key, zero) = nil, want an error")
	}
	if _, err := (&identity.Holder{Key: kith.NewKey()}).ClientTLS(kith.ID{0: 1}); err == nil {
		t.Error("ClientTLS(key, low-order) = nil, want an error")
	}
	if _, err := (&identity.Holder{Key: nil}).ServerTLS(); err == nil {
		t.Error("ServerTLS(nil) = nil, want an error")
	}
	for _, base := range []*tls.Config{nil, {}, {MaxVersion: tls.VersionTLS12}} {
		if _, err := identity.CustomTLS(base, nil, true); err == nil {
			t.Errorf("CustomTLS(%v, nil, true) = nil, want an error", base)
		}
	}
	if _, err := identity.Peer(&tls.ConnectionState{}); err == nil {
		t.Error("Peer(unfinished) = nil, want an error")
	}
	for _, cs := range []*tls.ConnectionState{{}, {HandshakeComplete: true}, {HandshakeComplete: true, DidResume: true}} {
		if _, err := identity.Proven(cs); err == nil {
			t.Errorf("Proven(%+v) = nil, want an error", cs)
		}
	}
}

// constantSigner signs every message with the same bytes: all that is needed
// to speak for a low-order key, and enough to reach the checks with others.
type constantSigner struct {
	pub crypto.PublicKey
	sig []byte
}

func (s constantSigner) Public() crypto.PublicKey { return s.pub }
func (s constantSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return s.sig, nil
}

// certificate makes a certificate of pub signed by signer.
func certificate(t *testing.T, pub crypto.PublicKey, signer, priv crypto.Signer, extra ...byte) tls.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	if len(extra) > 0 {
		tmpl.ExtraExtensions = []pkix.Extension{{Id: []int{1, 3, 6, 1, 4, 1, 5}, Value: extra}}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, signer)
	if err != nil {
		t.Fatalf("CreateCertificate = %v", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: priv}
}

func selfSigned(t *testing.T, s crypto.Signer, extra ...byte) tls.Certificate {
	return certificate(t, s.Public(), s, s, extra...)
}

func TestRefusedCertificates(t *testing.T) {
	lowKey := make(ed25519.PublicKey, 32)
	lowKey[0] = 1
	low := constantSigner{lowKey, append([]byte{1}, make([]byte, 63)...)}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Lsh(big.NewInt(1), 16383)
	hugeRSA := &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
	two := selfSigned(t, kith.NewKey())
	two.Certificate = append(two.Certificate, selfSigned(t, kith.NewKey()).Certificate...)
	pinned := kith.NewKey()

	for _, tt := range []struct {
		name  string
		cert  tls.Certificate
		plain bool // whether crypto/tls by itself accepts it
	}{
		{"low order", selfSigned(t, low), true},
		{"P-256", selfSigned(t, p256), true},
		{"RSA-16384", certificate(t, hugeRSA, kith.NewKey(), constantSigner{hugeRSA, make([]byte, 2048)}), false},
		{"two certificates", two, true},
		{"large", selfSigned(t, kith.NewKey(), make([]byte, 5000)...), true},
		{"none", tls.Certificate{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var own []tls.Certificate
			if tt.cert.PrivateKey != nil {
				own = []tls.Certificate{tt.cert}
			}
			plain := &tls.Config{Certificates: own, InsecureSkipVerify: true, NextProtos: []string{identity.ALPN}}
			open := plain.Clone()
			open.ClientAuth = tls.RequireAnyClientCert
			if own != nil {
				_, _, cerr, serr := handshake(t, plain, open)
				if ok := cerr == nil && serr == nil; ok != tt.plain {
					t.Fatalf("handshake of plain crypto/tls = %v, %v, want accepted: %v", cerr, serr, tt.plain)
				}
			}

			server := serverTLS(t, kith.NewKey())
			start := time.Now()
			if _, _, _, serr := handshake(t, plain, server); serr == nil {
				t.Error("server handshake = nil, want an error")
			}
			if d := time.Since(start); d > time.Second {
				t.Errorf("server took %v to refuse", d)
			}
			if own == nil {
				return
			}
			_, _, cerr, _ := handshake(t, clientTLS(t, kith.NewKey(), pinned.ID()), open)
			var m *identity.MismatchError
			if cerr == nil || tt.plain && (!errors.As(cerr, &m) || !m.Got.IsZero()) {
				t.Errorf("client handshake = %v, want a MismatchError without a Got", cerr)
			}
		})
	}
}

// A CA-mode server that takes any certificate must not take a forged identity.
func TestLowOrderInCustomMode(t *testing.T) {
	lowKey := make(ed25519.PublicKey, 32)
	lowKey[0] = 1
	cert := selfSigned(t, constantSigner{lowKey, append([]byte{1}, make([]byte, 63)...)})
	client := &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, NextProtos: []string{identity.ALPN}}
	server := customTLS(t, &tls.Config{ClientAuth: tls.RequireAnyClientCert}, kith.NewKey(), true)
	_, _, _, serr := handshake(t, client, server)
	if serr == nil || !strings.Contains(serr.Error(), "low-order") {
		t.Errorf("server handshake = %v, want one that names the low-order key", serr)
	}
}

// In key mode a certificate carries a key, whoever signed it. In CA mode it must be
// signed by that key to be an identity.
func TestSignedByAnother(t *testing.T) {
	key, other := kith.NewKey(), kith.NewKey()
	signed := certificate(t, key.Public(), other, key)
	show := func(c *tls.Config) *tls.Config {
		c.Certificates = []tls.Certificate{signed}
		return c
	}
	c, s, cerr, serr := handshake(t, show(clientTLS(t, key, other.ID())), serverTLS(t, other))
	if got, err := identity.Proven(&s); cerr != nil || serr != nil || err != nil || got != key.ID() {
		t.Errorf("handshake of such a client = %v, %v, and proves %v, %v, want %v", cerr, serr, got, err, key.ID())
	}
	if got, err := identity.Peer(&s); err != nil || !got.IsZero() {
		t.Errorf("Peer(client) = %v, %v, want none", got, err)
	}
	c, _, cerr, serr = handshake(t, clientTLS(t, other, key.ID()), show(serverTLS(t, key)))
	if got, err := identity.Proven(&c); cerr != nil || serr != nil || err != nil || got != key.ID() {
		t.Errorf("handshake with such a server = %v, %v, and proves %v, %v, want %v", cerr, serr, got, err, key.ID())
	}
	// A copy of the certificate, or one made for somebody else's key, proves nothing.
	stolen := certificate(t, key.Public(), other, kith.NewKey())
	config := clientTLS(t, other, other.ID())
	config.Certificates = []tls.Certificate{stolen}
	if _, _, _, serr = handshake(t, config, serverTLS(t, other)); serr == nil {
		t.Error("server handshake with a client that has not the key = nil, want an error")
	}
	config = serverTLS(t, other)
	config.Certificates = []tls.Certificate{stolen}
	if _, _, cerr, _ = handshake(t, clientTLS(t, other, key.ID()), config); cerr == nil {
		t.Error("client handshake with a server that has not the key = nil, want an error")
	}
}

func TestReissued(t *testing.T) {
	key := kith.NewKey()
	seen := map[string]bool{}
	for range 1000 {
		cert := selfSigned(t, key, seen2bytes(len(seen))...)
		leaf, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		seen[string(leaf.Raw)] = true
		cs := tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{leaf}}
		if got, err := identity.Peer(&cs); err != nil || got != key.ID() {
			t.Fatalf("Peer(certificate %d) = %v, %v, want %v", len(seen), got, err, key.ID())
		}
	}
	if len(seen) != 1000 {
		t.Errorf("made %d different certificates, want 1000", len(seen))
	}
}

func seen2bytes(n int) []byte { return []byte{byte(n), byte(n >> 8)} }

func TestClocks(t *testing.T) {
	ck, sk := kith.NewKey(), kith.NewKey()
	clocks := []time.Time{time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, cnow := range clocks {
		for _, snow := range clocks {
			c, s := clientTLS(t, ck, sk.ID()), serverTLS(t, sk)
			c.Time = func() time.Time { return cnow }
			s.Time = func() time.Time { return snow }
			if _, _, cerr, serr := handshake(t, c, s); cerr != nil || serr != nil {
				t.Errorf("handshake with clocks %v and %v = %v, %v", cnow, snow, cerr, serr)
			}
		}
	}
}

func TestCertificate(t *testing.T) {
	key := kith.NewKey()
	der := serverTLS(t, key).Certificates[0].Certificate[0]
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("ParseCertificate = %v", err)
	}
	if want := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC); !leaf.NotAfter.Equal(want) || leaf.NotBefore.Unix() != 0 {
		t.Errorf("validity = %v to %v, want 1970 to %v", leaf.NotBefore, leaf.NotAfter, want)
	}
	if s := leaf.Subject.String() + leaf.Issuer.String(); s != "" || len(leaf.DNSNames) > 0 || leaf.SerialNumber.Sign() <= 0 {
		t.Errorf("certificate has names %q, %q or serial %v", s, leaf.DNSNames, leaf.SerialNumber)
	}
	if !bytes.Equal(der, serverTLS(t, key).Certificates[0].Certificate[0]) {
		t.Error("second certificate of the same key differs")
	}
	if len(der) > 300 {
		t.Errorf("certificate of %d bytes, want at most 300", len(der))
	}
}

func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ck, sk := kith.NewKey(), kith.NewKey()
		roots := x509.NewCertPool()
		server := serverTLS(t, sk)
		leaf, err := x509.ParseCertificate(server.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		roots.AddCert(leaf)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			t.Errorf("Verify at %v = %v", time.Now(), err)
		}
		a, b := net.Pipe()
		if _, _, cerr, serr := handshakeOver(a, b, clientTLS(t, ck, sk.ID()), server); cerr != nil || serr != nil {
			t.Errorf("handshake = %v, %v", cerr, serr)
		}
	})
}

func TestNoResumption(t *testing.T) {
	ck, sk := kith.NewKey(), kith.NewKey()
	server := serverTLS(t, sk)
	client := clientTLS(t, ck, sk.ID())
	client.ClientSessionCache = tls.NewLRUClientSessionCache(4) // what a server with tickets would fill
	client.ServerName = "cache key"
	for i := range 3 {
		c, s, cerr, serr := handshake(t, client, server)
		if cerr != nil || serr != nil || c.DidResume || s.DidResume {
			t.Fatalf("handshake %d = %v, %v, resumed %v, %v", i, cerr, serr, c.DidResume, s.DidResume)
		}
	}
	if _, ok := client.ClientSessionCache.Get("cache key"); ok {
		t.Error("server issued a ticket")
	}
	cs := tls.ConnectionState{HandshakeComplete: true, DidResume: true}
	if _, err := identity.Peer(&cs); err == nil {
		t.Error("Peer(resumed) = nil, want an error")
	}
}

func TestALPNRequired(t *testing.T) {
	ck, sk := kith.NewKey(), kith.NewKey()
	for _, protos := range [][]string{nil, {"h2"}} {
		client, server := clientTLS(t, ck, sk.ID()), serverTLS(t, sk)
		client.NextProtos = protos
		client.VerifyConnection = nil
		if _, _, _, serr := handshake(t, client, server); serr == nil {
			t.Errorf("server handshake with client protocols %q = nil, want an error", protos)
		}
		client, server = clientTLS(t, ck, sk.ID()), serverTLS(t, sk)
		server.NextProtos = protos
		server.VerifyConnection = nil
		if _, _, cerr, _ := handshake(t, client, server); cerr == nil {
			t.Errorf("client handshake with server protocols %q = nil, want an error", protos)
		}
	}
}
