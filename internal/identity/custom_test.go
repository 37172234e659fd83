package identity_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"

	"github.com/kith-go/kith"
	"github.com/kith-go/kith/internal/identity"
)

func TestCustom(t *testing.T) {
	cert := selfSigned(t, kith.NewKey())
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	ck := kith.NewKey()
	good := &tls.Config{RootCAs: pool, ServerName: "localhost"}
	base := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequestClientCert}
	inner := &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return base.Clone(), nil
	}}

	for _, tt := range []struct {
		name         string
		client       *tls.Config
		key          *kith.Key
		server       *tls.Config
		cerr, serr   bool
		provenClient kith.ID
	}{
		{name: "CA", client: good, server: base},
		{name: "CA and key", client: good, key: ck, server: base, provenClient: ck.ID()},
		{name: "config chosen per client", client: good, server: inner},
		{name: "unknown authority", client: &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}, server: base, cerr: true, serr: true},
		{name: "wrong name", client: &tls.Config{RootCAs: pool, ServerName: "example.com"}, server: base, cerr: true, serr: true},
		{name: "user's check at the client", client: &tls.Config{
			RootCAs: pool, ServerName: "localhost",
			VerifyConnection: func(tls.ConnectionState) error { return errors.New("no") },
		}, server: base, cerr: true, serr: true},
		{
			name: "client certificate missing", client: good,
			server: &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}, cerr: true, serr: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s, cerr, serr := handshake(t, customTLS(t, tt.client, tt.key, false), customTLS(t, tt.server, nil, true))
			if (cerr != nil) != tt.cerr || (serr != nil) != tt.serr {
				t.Fatalf("handshake = %v, %v, want errors: %v, %v", cerr, serr, tt.cerr, tt.serr)
			}
			if cerr != nil {
				return
			}
			if c.Version != tls.VersionTLS13 || c.NegotiatedProtocol != identity.ALPN {
				t.Errorf("negotiated %s and %q", tls.VersionName(c.Version), c.NegotiatedProtocol)
			}
			checkProven(t, "server's state", &s, tt.provenClient)
		})
	}
	if base.NextProtos != nil || base.MinVersion != 0 || base.VerifyConnection != nil {
		t.Error("CustomTLS changed its argument")
	}
}

// A certificate that a CA signed stands for no identity, whatever its key.
func TestCASignedProvesNothing(t *testing.T) {
	key := kith.NewKey()
	server := &tls.Config{Certificates: []tls.Certificate{certificate(t, key.Public(), kith.NewKey(), key)}}
	client := customTLS(t, &tls.Config{InsecureSkipVerify: true}, nil, false)
	c, _, cerr, serr := handshake(t, client, customTLS(t, server, nil, true))
	if cerr != nil || serr != nil {
		t.Fatalf("handshake = %v, %v", cerr, serr)
	}
	checkProven(t, "client's state", &c, kith.ID{})
}

// A server that trusts by CA and has only a key is dialled by its ID.
func TestCustomServerWithKey(t *testing.T) {
	ck, sk := kith.NewKey(), kith.NewKey()
	for _, base := range []*tls.Config{
		{ClientAuth: tls.RequireAnyClientCert},
		{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }},
	} {
		c, _, cerr, serr := handshake(t, clientTLS(t, ck, sk.ID()), customTLS(t, base, sk, true))
		if cerr != nil || serr != nil {
			t.Fatalf("handshake = %v, %v", cerr, serr)
		}
		checkProven(t, "client's state", &c, sk.ID())
	}
}

func TestCustomALPNRequired(t *testing.T) {
	cert := selfSigned(t, kith.NewKey())
	plain := &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}
	if _, _, _, serr := handshake(t, plain, customTLS(t, plain, nil, true)); serr == nil {
		t.Error("server handshake without ALPN = nil, want an error")
	}
	if _, _, cerr, _ := handshake(t, customTLS(t, plain, nil, false), plain); cerr == nil {
		t.Error("client handshake without ALPN = nil, want an error")
	}
}
