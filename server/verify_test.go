package server_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/client"
	"github.com/kith-go/kith/server"
	"github.com/kith-go/kith/transport"
	"github.com/kith-go/kith/transport/admit"
	"github.com/kith-go/kith/transport/quic"
	"github.com/kith-go/kith/transport/tcp"
)

// authority is a CA for one test.
type authority struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

// issue returns a certificate for name, good for both ends.
func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// The classical way: certificates of a CA instead of pinned keys, and no
// policy.
func TestVerifiedByCA(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	serverTLS := &tls.Config{
		Certificates: []tls.Certificate{ca.issue(t, "localhost")},
		ClientCAs:    ca.pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	clientTLS := func(by *authority) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{by.issue(t, "ada")}, RootCAs: ca.pool, ServerName: "localhost"}
	}
	who := kith.Unary[struct{}, string]("test/Who")
	for name, make := range map[string]func(*tls.Config) transport.Transport{
		"tcp":  func(c *tls.Config) transport.Transport { return tcp.New(tcp.Config{TLS: c}) },
		"quic": func(c *tls.Config) transport.Transport { return quic.New(quic.Config{TLS: c}) },
	} {
		t.Run(name, func(t *testing.T) {
			var h kith.Handlers
			who.Handle(&h, whoIs)
			srv, err := server.New(server.Config{Handlers: &h})
			if err != nil {
				t.Fatal(err)
			}
			listen := make(serverTLS)
			l, err := listen.Listen(t.Context(), transport.Addr{Host: "127.0.0.1:0"})
			if err != nil {
				t.Fatal(err)
			}
			served := serveIn(t, srv, l)
			t.Cleanup(func() {
				_ = srv.Close()
				<-served
				_ = listen.Close()
			})
			addr := l.Addr().WithID(kith.ID{}).String()
			for _, tc := range []struct {
				by *authority
				ok bool
			}{{ca, true}, {other, false}} {
				dial := make(clientTLS(tc.by))
				c, err := client.Dial(t.Context(), client.Config{Transport: dial, Addrs: []string{addr}})
				if (err == nil) != tc.ok {
					t.Errorf("Dial with a certificate of the CA %v = %v", tc.ok, err)
				}
				if err == nil {
					if got, err := who.Call(t.Context(), c, struct{}{}); got != "ada" || err != nil {
						t.Errorf("Call = %q, %v, want the certificate's name", got, err)
					}
					_ = c.Close()
				}
				_ = dial.Close()
			}
		})
	}
}

// Without a policy and without a CA nobody is served.
func TestNoPolicyNoCA(t *testing.T) {
	var h kith.Handlers
	srv, err := server.New(server.Config{Handlers: &h})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	for _, tr := range []transport.Transport{tcp.New(tcp.Config{}), quic.New(quic.Config{}), tcp.New(tcp.Config{Plaintext: true})} {
		if err := srv.ListenAndServe(t.Context(), tr, "127.0.0.1:0"); !errors.Is(err, admit.ErrNoPolicy) {
			t.Errorf("ListenAndServe = %v, want %v", err, admit.ErrNoPolicy)
		}
		_ = tr.Close()
	}
}

func whoIs(ctx context.Context, _ struct{}) (string, error) { return kith.PeerFrom(ctx).Name, nil }

func serveIn(t *testing.T, srv *server.Server, l transport.Listener) <-chan error {
	served := make(chan error, 1)
	go func() { served <- srv.Serve(t.Context(), l) }()
	return served
}
